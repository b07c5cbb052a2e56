from __future__ import annotations

from sttbatch.core.models import MIXED, UploadCodec
from sttbatch.processing.media.buffers import Buffer, CutMedia, Digested
from sttbatch.processing.media.decoder import Decoder
from sttbatch.processing.media.packet_clock import FAR
from sttbatch.processing.media.samples import Samples
from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import COPYABLE

_MOST_BYTES = 256 << 20
"""Maximum size of the samples of all channels; sixteen of them are many times an upload."""


class SampleBuffer(Buffer[Digested]):
    """A buffer of decoded samples, s16 at 16 kHz, mixed and encoded when they are cut.

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
        super().__init__(track, Decoder(track, channel), preroll_s)
        self._codec = codec
        self._of_channel = f" channel {channel}" if channel != MIXED else ""
        self._samples = Samples(self._decoder.mixer.count)

    def fill(self, until: int, max_bytes: int) -> int:
        held = self._samples
        while self.end_pts < until and not self.at_end and held.mono_bytes < max_bytes:
            if max_bytes < FAR and len(held) > _MOST_BYTES:
                break
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
        self._pop_before(pts)
        if self._on_packets and self._items:
            pts = min(pts, self._items[0].pts)
        self._samples.drop_before(self._track.seconds(pts))

    def first_within(self, start: int, end: int) -> int | None:
        return super().first_within(start, end) if self._samples else None

    def snap(self, pts: int) -> int:
        return super().snap(pts) if self._on_packets else pts

    def _interleaved(self, start: int, end: int) -> tuple[int, bytes]:
        held = self._samples
        if not held:
            return self.end_pts, b""
        low = held.offset(self._track.seconds(start))
        high = held.offset(self._track.seconds(end))
        return self._track.pts(held.second(low)), bytes(held.pcm[low:high])

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
        digests = (item.digest for item in covered)
        sha256 = self._audio_sha256(digests, within + self._of_channel)
        return self._encoded(
            self._samples, self._codec, (start_s, end_s), sha256, on_packets=self._on_packets
        )

    def _read_one(self, decode_from: int | None) -> None:
        item = next(self._source, None)
        if item is None:
            self.at_end = True
            self._samples.pcm += self._decoder.flush()
            return
        self.end_pts = item.end_pts
        if decode_from is not None and item.end_pts < decode_from:
            return
        self._items.append(Digested(item.pts, item.end_pts, item.duration_s, item.digest()))
        for at_s, data in self._decoder.decode(item):
            self._samples.append(at_s, data)
