"""What the splitter holds of a recording: only the chunk it is about to cut.

Two kinds, one for packets that are copied and one for samples that are encoded. Positions are in
the stream's own time base; `fill` reads on, `drop_before` forgets.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sttbatch.core.models import UploadCodec
from sttbatch.processing.chunk_media import copy_packets, decoder_delay_s, encode
from sttbatch.processing.silence import BYTES_PER_SECOND, SAMPLE_RATE, is_digital_silence
from sttbatch.processing.track import JUMP_S, Decoder, StreamPacket, Track
from sttbatch.processing.upload_format import COPYABLE, ENCODED, Container

_SOUND_PROBE_S = 5.0


@dataclass(frozen=True, slots=True)
class CutMedia:
    """One chunk's bytes; anchors as in `Stretch`."""

    data: bytes
    duration_s: float
    anchors: tuple[tuple[float, float], ...]
    audio_sha256: str


class Buffer(Protocol):
    """The part of a recording between what was cut last and what was read last."""

    container: Container
    codec_name: str

    def fill(self, until: int, max_bytes: int) -> int:
        """Read until `until`, the end, or until the upload would outgrow `max_bytes`."""

    def at_end(self) -> bool: ...

    def skip_to(self, pts: int) -> None:
        """Read on to `pts` and keep nothing before it."""

    def drop_before(self, pts: int) -> None: ...

    def first_within(self, start: int, end: int) -> int | None:
        """Where the first audio in a range begins; None: there is none."""

    def end_pts(self) -> int:
        """Where what was read ends."""

    def snap(self, pts: int) -> int:
        """The nearest position that can be cut at."""

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        """Samples, mono s16 at 16 kHz, and where they begin."""

    def is_silent(self, start: int, end: int) -> bool: ...

    def cut(self, start: int, end: int) -> CutMedia: ...


class PacketBuffer:
    """Compressed packets, decoded only where somebody looks."""

    def __init__(self, track: Track) -> None:
        self.container = COPYABLE[track.codec]
        self.codec_name = track.codec
        self._track = track
        self._source = track.packets()
        self._decoder = Decoder(track)
        self._held: deque[StreamPacket] = deque()
        self._held_bytes = 0
        self._end = track.origin_pts
        self._ended = False

    def fill(self, until: int, max_bytes: int) -> int:
        while self._end < until and not self._ended and self._held_bytes < max_bytes:
            item = next(self._source, None)
            if item is None:
                self._ended = True
                break
            self._held.append(item)
            self._held_bytes += item.packet.size
            self._end = item.end_pts
        return min(self._end, until)

    def at_end(self) -> bool:
        return self._ended

    def skip_to(self, pts: int) -> None:
        step = self._track.pts_of(60.0)
        self.drop_before(pts)
        while self._end < pts and not self._ended:
            self.fill(min(pts, self._end + step), 1 << 62)
            self.drop_before(pts)

    def drop_before(self, pts: int) -> None:
        while self._held and self._held[0].end_pts <= pts:
            self._held_bytes -= self._held.popleft().packet.size

    def first_within(self, start: int, end: int) -> int | None:
        return next((max(start, item.pts) for item in self._between(start, end)), None)

    def end_pts(self) -> int:
        return self._end

    def snap(self, pts: int) -> int:
        starts = (item.pts for item in self._held)
        return min(starts, key=lambda start: abs(start - pts), default=pts)

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        settled = start - self._track.pts_of(self.container.preroll_s)
        self._decoder.restart()
        parts: list[bytes] = []
        first: float | None = None
        for item in self._between(settled, end):
            for at_s, data in self._decoder.decode(item):
                if item.end_pts > start:
                    first = at_s if first is None else first
                    parts.append(data)
        return (start if first is None else self._track.pts(first)), b"".join(parts)

    def is_silent(self, start: int, end: int) -> bool:
        step = self._track.pts_of(_SOUND_PROBE_S)
        return all(
            is_digital_silence(self.pcm(at, min(at + step, end))[1])
            for at in range(start, end, step)
        )

    def cut(self, start: int, end: int) -> CutMedia:
        items = list(self._between(start, end))
        digest = hashlib.sha256(self._track.fingerprint)
        for item in items:
            digest.update(item.digest())
        duration_s = sum(item.duration_s for item in items)
        extradata = self._track.context.extradata
        delay_s = decoder_delay_s(self.codec_name, extradata, items[0].duration_s)
        return CutMedia(
            copy_packets(items, self._track.stream, self.codec_name),
            duration_s - delay_s,
            _packet_anchors(items, self._track, delay_s),
            digest.hexdigest(),
        )

    def _between(self, start: int, end: int) -> Iterator[StreamPacket]:
        return (item for item in self._held if item.end_pts > start and item.pts < end)


def _packet_anchors(
    items: Iterable[StreamPacket], track: Track, delay_s: float
) -> tuple[tuple[float, float], ...]:
    anchors: list[tuple[float, float]] = []
    upload_s = 0.0 - delay_s
    for item in items:
        at_s = track.seconds(item.pts)
        if not anchors or abs(at_s - anchors[-1][1] - (upload_s - anchors[-1][0])) > JUMP_S:
            anchors.append((upload_s, at_s))
        upload_s += item.duration_s
    return tuple(anchors)


@dataclass(frozen=True, slots=True)
class _Digested:
    """A packet whose samples are held elsewhere."""

    pts: int
    end_pts: int
    digest: bytes


class SampleBuffer:
    """Decoded samples, mono s16 at 16 kHz, encoded anew when they are cut."""

    def __init__(self, track: Track, codec: UploadCodec) -> None:
        self.container = ENCODED[codec]
        self.codec_name = str(codec)
        self._codec = codec
        self._track = track
        self._source = track.packets()
        self._decoder = Decoder(track)
        self._digests: deque[_Digested] = deque()
        self._pcm = bytearray()
        # (offset in _pcm, second in the recording) wherever the timestamps jump.
        self._anchors: list[tuple[int, float]] = []
        self._end = track.origin_pts
        self._ended = False

    def fill(self, until: int, max_bytes: int) -> int:
        while self._end < until and not self._ended and len(self._pcm) < max_bytes:
            self._read_one(decode_from=None)
        return min(self._end, until)

    def at_end(self) -> bool:
        return self._ended

    def skip_to(self, pts: int) -> None:
        self.drop_before(pts)
        # The decoder needs a moment to settle; before that nothing need be decoded.
        decode_from = pts - self._track.pts_of(1.0)
        while self._end < pts and not self._ended:
            self._read_one(decode_from=decode_from)
            self.drop_before(pts)

    def drop_before(self, pts: int) -> None:
        while self._digests and self._digests[0].end_pts <= pts:
            self._digests.popleft()
        offset = self._offset(pts)
        if offset <= 0:
            return
        second = self._second(offset)
        later = [(at - offset, s) for at, s in self._anchors if at > offset]
        del self._pcm[:offset]
        self._anchors = [(0, second), *later] if self._pcm else []

    def first_within(self, start: int, end: int) -> int | None:
        low, high = self._offset(start), self._offset(end)
        return max(start, self._track.pts(self._second(low))) if low < high else None

    def end_pts(self) -> int:
        return self._end

    def snap(self, pts: int) -> int:
        return pts

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        low, high = self._offset(start), self._offset(end)
        return self._track.pts(self._second(low)), bytes(self._pcm[low:high])

    def is_silent(self, start: int, end: int) -> bool:
        low, high = self._offset(start), self._offset(end)
        step = int(_SOUND_PROBE_S) * BYTES_PER_SECOND
        return all(
            is_digital_silence(bytes(self._pcm[at : min(at + step, high)]))
            for at in range(low, high, step)
        )

    def cut(self, start: int, end: int) -> CutMedia:
        low, high = self._offset(start), self._offset(end)
        covered = [item for item in self._digests if item.end_pts > start and item.pts < end]
        digest = hashlib.sha256(self._track.fingerprint)
        for item in covered:
            digest.update(item.digest)
        if covered:
            # A cut may fall within a packet, so where it falls is part of what was heard.
            inside = f" {max(0, start - covered[0].pts)} {max(0, covered[-1].end_pts - end)}"
            digest.update(inside.encode())
        with memoryview(self._pcm) as held, held[low:high] as samples:
            data = encode(samples, self._codec)
        anchors = [(0.0, self._second(low))]
        anchors += [
            ((at - low) / BYTES_PER_SECOND, second)
            for at, second in self._anchors
            if low < at < high
        ]
        return CutMedia(data, (high - low) / BYTES_PER_SECOND, tuple(anchors), digest.hexdigest())

    def _read_one(self, decode_from: int | None) -> None:
        item = next(self._source, None)
        if item is None:
            self._ended = True
            self._pcm += self._decoder.flush()
            return
        self._end = item.end_pts
        if decode_from is not None and item.end_pts < decode_from:
            return
        self._digests.append(_Digested(item.pts, item.end_pts, item.digest()))
        for at_s, data in self._decoder.decode(item):
            self._hold(at_s, data)

    def _hold(self, at_s: float, data: bytes) -> None:
        expected_s = self._second(len(self._pcm)) if self._anchors else None
        if expected_s is None or abs(at_s - expected_s) > JUMP_S:
            self._anchors.append((len(self._pcm), at_s))
        self._pcm += data

    def _second(self, offset: int) -> float:
        if not self._anchors:
            return self._track.seconds(self._end)
        at, second = next(
            (anchor for anchor in reversed(self._anchors) if anchor[0] <= offset),
            self._anchors[0],
        )
        return second + (offset - at) / BYTES_PER_SECOND

    def _offset(self, pts: int) -> int:
        """Byte offset of the first sample at or after `pts`, within what is held."""
        wanted_s = self._track.seconds(pts)
        offset = 0
        for index, (at, second) in enumerate(self._anchors):
            if second > wanted_s and index:
                break
            last = index + 1 == len(self._anchors)
            limit = len(self._pcm) if last else self._anchors[index + 1][0]
            samples = round((wanted_s - second) * SAMPLE_RATE)
            offset = min(limit, max(at, at + 2 * samples))
        return min(max(0, offset), len(self._pcm))
