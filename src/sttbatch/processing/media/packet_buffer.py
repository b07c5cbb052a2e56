from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.packet import Packet

from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.buffers import Buffer, CutMedia
from sttbatch.processing.media.decoder import Decoder
from sttbatch.processing.media.mixing import is_cinema
from sttbatch.processing.media.packet_clock import FAR, JUMP_S, StreamPacket
from sttbatch.processing.media.samples import Samples
from sttbatch.processing.media.silence import BYTES_PER_SECOND, is_digital_silence
from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import COPYABLE


class PacketBuffer(Buffer[StreamPacket]):
    """A buffer of packets that are copied into uploads, and decoded only where samples are needed.

    Chunks that cannot be copied faithfully are decoded and encoded instead: those with packets of
    changed parameters, and those with channels that would cancel or be lost in a plain mix.

    Args:
        track: the track that is read.
        max_bytes: maximum size of an encoded upload.
    """

    def __init__(self, track: Track, max_bytes: int) -> None:
        super().__init__(track, Decoder(track), COPYABLE[track.codec].preroll_s)
        self._max_bytes = max_bytes
        self._buffered_bytes = 0

    def fill(self, until: int, max_bytes: int) -> int:
        # Of an hour, 140,000 packets.
        held_bytes, end_pts, append = self._buffered_bytes, self.end_pts, self._items.append
        while end_pts < until and held_bytes < max_bytes:
            item = next(self._source, None)
            if item is None:
                self.at_end = True
                break
            append(item)
            held_bytes += item.packet.size
            end_pts = item.end_pts
        self._buffered_bytes, self.end_pts = held_bytes, end_pts
        return min(end_pts, until)

    def skip_to(self, pts: int) -> None:
        step = self._track.pts_of(60.0)
        self._drop_before(pts)
        while self.end_pts < pts and not self.at_end:
            self.fill(min(pts, self.end_pts + step), FAR)
            self._drop_before(pts)

    def _drop_before(self, pts: int) -> None:
        self._buffered_bytes -= sum(item.packet.size for item in self._pop_before(pts))

    def _interleaved(self, start: int, end: int) -> tuple[int, bytes]:
        preroll = start - self._track.pts_of(self.preroll_s)
        self._decoder.restart()
        parts: list[bytes] = []
        first: float | None = None
        for item in self._covered(preroll, end):
            for at_s, data in self._decoder.decode(item):
                if item.end_pts > start:
                    first = at_s if first is None else first
                    parts.append(data)
        return (start if first is None else self._track.pts(first)), b"".join(parts)

    def cut(self, start: int, end: int) -> CutMedia | None:
        items = list(self._covered(start, end))
        if not items:
            return None
        sha256 = self._audio_sha256(item.digest() for item in items)
        if any(item.section.mark for item in items) or self._is_lost_in_a_mix(start, end):
            return self._decoded(items, sha256)
        delay_s = self._decoder_delay_s(items[0].duration_s)
        time_map: list[tuple[float, float]] = []
        upload_s = 0.0 - delay_s
        shift_s = float("inf")
        origin_pts, time_base = self._track.origin_pts, self._track.time_base
        for item in items:
            at_s = (item.pts - origin_pts) * time_base
            if abs(at_s - upload_s - shift_s) > JUMP_S:
                time_map.append((upload_s, at_s))
                shift_s = at_s - upload_s
            upload_s += item.duration_s
        return CutMedia(
            _copy_packets(items, self._track.stream, self._track.codec),
            sum(item.duration_s for item in items) - delay_s,
            tuple(time_map),
            sha256,
            COPYABLE[self._track.codec],
            self._track.codec,
            self._track.context.channels,
        )

    def _is_lost_in_a_mix(self, start: int, end: int) -> bool:
        """Whether a recogniser's plain mix of the channels would lose one of them."""
        mixer = self._decoder.mixer
        if mixer.count != 2:
            return mixer.count > 1 and not is_cinema(self._track.context.layout)
        for part, until in self._parts(start, end):
            pcm = self._interleaved(part, until)[1]
            if not is_digital_silence(pcm):
                return mixer.cancels(pcm)
        return False

    def _decoded(self, items: Sequence[StreamPacket], sha256: str) -> CutMedia | None:
        samples = Samples(self._decoder.mixer.count)
        self._decoder.restart()
        for item in items:
            for at_s, data in self._decoder.decode(item):
                samples.append(at_s, data)
        samples.pcm += self._decoder.flush()
        if not samples:
            return None
        first, last = items[0], items[-1]
        span_s = (
            self._track.seconds(first.pts) + self._decoder_delay_s(first.duration_s),
            self._track.seconds(last.end_pts),
        )
        lasts_s = span_s[1] - span_s[0]
        fits = lasts_s * BYTES_PER_SECOND < self._max_bytes
        codec = UploadCodec.FLAC if fits else UploadCodec.OPUS
        return self._encoded(samples, codec, span_s, sha256, on_packets=True)


def _copy_packets(items: Sequence[StreamPacket], stream: AudioStream, codec: str) -> bytes:
    """Mux packets into a recording that starts at 0:00 and has no gaps."""
    if codec == "mp3":
        # Frames describe themselves; a muxer would add a Xing header, which shifts all times.
        return b"".join([item.packet for item in items])
    target = io.BytesIO()
    with av.open(target, mode="w", format=COPYABLE[codec].muxer) as container:
        out = container.add_stream_from_template(stream)
        rate = 48_000 if codec == "opus" else stream.codec_context.sample_rate
        at_s = 0.0
        for item in items:
            packet: Packet[AudioStream] = item.packet
            packet.stream = out
            packet.time_base = Fraction(1, rate)
            packet.pts = packet.dts = round(at_s * rate)
            packet.duration = round(item.duration_s * rate)
            container.mux_one(packet)
            at_s += item.duration_s
    return target.getvalue()
