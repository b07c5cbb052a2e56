from __future__ import annotations

import io
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from sttbatch.core.models import MIXED, UploadCodec
from sttbatch.processing.media.buffers import Buffer, CutMedia, Digested
from sttbatch.processing.media.silence import BYTES_PER_SECOND, SAMPLE_RATE
from sttbatch.processing.media.track import JUMP_S, Decoder, Track
from sttbatch.processing.media.upload_format import COPYABLE, ENCODED, OPUS_BIT_RATE

_ENCODE_SAMPLES = 16_384


class SampleBuffer(Buffer[Digested]):
    """A buffer of decoded samples, mono s16 at 16 kHz, encoded when they are cut.

    If the packets could be copied too, cuts are between the same packets and include the same
    preroll, so that copied and encoded uploads share stored transcriptions.

    Args:
        track: the track that is read.
        codec: for encoding.
        channel: the only one that is read; `MIXED`: all of them, mixed.
        by_samples: cut at exactly the given positions, without preroll.
    """

    def __init__(
        self, track: Track, codec: UploadCodec, channel: int = MIXED, *, by_samples: bool = False
    ) -> None:
        self._on_packets = track.codec in COPYABLE and not by_samples
        preroll_s = COPYABLE[track.codec].preroll_s if self._on_packets else 0.0
        super().__init__(track, Decoder(track, channel), ENCODED[codec], str(codec), preroll_s)
        self._codec = codec
        self._of_channel = f" channel {channel}" if channel != MIXED else ""
        self._pcm = bytearray()
        # (offset in _pcm, second in the recording) wherever the timestamps jump.
        self._time_map: list[tuple[int, float]] = []

    def fill(self, until: int, max_bytes: int) -> int:
        while self.end_pts < until and not self.at_end and len(self._pcm) < max_bytes:
            self._read_one(decode_from=None)
        return min(self.end_pts, until)

    def skip_to(self, pts: int) -> None:
        self._drop_before(pts)
        # The decoder needs a second to warm up; nothing before that has to be decoded.
        decode_from = pts - self._track.pts_of(1.0)
        while self.end_pts < pts and not self.at_end:
            self._read_one(decode_from=decode_from)
            self._drop_before(pts)

    def _drop_before(self, pts: int) -> None:
        while self._items and self._items[0].end_pts <= pts:
            self._items.popleft()
        if self._on_packets and self._items:
            pts = min(pts, self._items[0].pts)
        offset = self._offset(self._track.seconds(pts))
        if offset <= 0:
            return
        second = self._second(offset)
        later = [(at - offset, s) for at, s in self._time_map if at > offset]
        del self._pcm[:offset]
        self._time_map = [(0, second), *later] if self._pcm else []

    def first_within(self, start: int, end: int) -> int | None:
        return super().first_within(start, end) if self._pcm else None

    def snap(self, pts: int) -> int:
        return super().snap(pts) if self._on_packets else pts

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        low = self._offset(self._track.seconds(start))
        high = self._offset(self._track.seconds(end))
        return self._track.pts(self._second(low)), bytes(self._pcm[low:high])

    def cut(self, start: int, end: int) -> CutMedia | None:
        covered = list(self._covered(start, end))
        if not covered:
            return None
        first, last = covered[0], covered[-1]
        if self._on_packets:
            start_s = self._track.seconds(first.pts) + self._decoder_delay_s(first.duration_s)
            end_s, within = self._track.seconds(last.end_pts), ""
        else:
            start_s, end_s = self._track.seconds(start), self._track.seconds(end)
            # A cut may fall within a packet, so its position is part of the key.
            within = f" {max(0, start - first.pts)} {max(0, last.end_pts - end)}"
        low, high = self._offset(start_s), self._offset(end_s)
        if low >= high:
            return None
        # Copied packets include the samples that a player skips at the start.
        lead_s = min(max(0.0, self._second(low) - start_s), 1.0) if self._on_packets else 0.0
        lead = bytes(2 * round(lead_s * SAMPLE_RATE))
        lead_s = len(lead) / BYTES_PER_SECOND
        with memoryview(self._pcm) as held, held[low:high] as samples:
            data = _encode(memoryview(b"".join([lead, samples])) if lead else samples, self._codec)
        time_map = [(0.0, self._second(low) - lead_s)]
        time_map += [
            ((at - low) / BYTES_PER_SECOND + lead_s, second)
            for at, second in self._time_map
            if low < at < high
        ]
        return CutMedia(
            data,
            (high - low) / BYTES_PER_SECOND + lead_s,
            tuple(time_map),
            self._audio_sha256((item.digest for item in covered), within + self._of_channel),
        )

    def _read_one(self, decode_from: int | None) -> None:
        item = next(self._source, None)
        if item is None:
            self.at_end = True
            self._pcm += self._decoder.flush()
            return
        self.end_pts = item.end_pts
        if decode_from is not None and item.end_pts < decode_from:
            return
        self._items.append(Digested(item.pts, item.end_pts, item.duration_s, item.digest()))
        for at_s, data in self._decoder.decode(item):
            if not self._time_map or abs(at_s - self._second(len(self._pcm))) > JUMP_S:
                self._time_map.append((len(self._pcm), at_s))
            self._pcm += data

    def _second(self, offset: int) -> float:
        if not self._time_map:
            return self._track.seconds(self.end_pts)
        at, second = next(
            (entry for entry in reversed(self._time_map) if entry[0] <= offset),
            self._time_map[0],
        )
        return second + (offset - at) / BYTES_PER_SECOND

    def _offset(self, wanted_s: float) -> int:
        """The byte offset in the buffer of the first sample at or after a time."""
        offset = 0
        for index, (at, second) in enumerate(self._time_map):
            if second > wanted_s and index:
                break
            last = index + 1 == len(self._time_map)
            limit = len(self._pcm) if last else self._time_map[index + 1][0]
            samples = round((wanted_s - second) * SAMPLE_RATE)
            offset = min(limit, max(at, at + 2 * samples))
        return min(max(0, offset), len(self._pcm))


def _encode(pcm: memoryview, codec: UploadCodec) -> bytes:
    """Encode mono s16 samples at 16 kHz."""
    kind = ENCODED[codec]
    target = io.BytesIO()
    name = {UploadCodec.OPUS: "libopus", UploadCodec.WAV: "pcm_s16le"}.get(codec, "flac")
    with av.open(target, mode="w", format=kind.muxer) as container:
        out = container.add_stream(name, rate=SAMPLE_RATE)
        assert isinstance(out, AudioStream)
        out.codec_context.layout = "mono"
        out.codec_context.format = "s16"
        if codec is UploadCodec.OPUS:
            out.codec_context.bit_rate = OPUS_BIT_RATE
        for at in range(0, len(pcm), 2 * _ENCODE_SAMPLES):
            part = pcm[at : at + 2 * _ENCODE_SAMPLES]
            frame = AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
            plane = frame.planes[0]
            plane.update(bytes(part).ljust(plane.buffer_size, b"\0"))
            frame.sample_rate = SAMPLE_RATE
            frame.pts = at // 2
            frame.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return target.getvalue()
