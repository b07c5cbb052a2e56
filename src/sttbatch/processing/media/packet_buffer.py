"""A buffer of packets that are copied into uploads unchanged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from sttbatch.processing.media.buffers import CutMedia, audio_sha256, nearest
from sttbatch.processing.media.chunk_media import copy_packets, decoder_delay_s
from sttbatch.processing.media.track import FAR, JUMP_S, Decoder, StreamPacket, Track
from sttbatch.processing.media.upload_format import COPYABLE


class PacketBuffer:
    """A buffer of compressed packets, decoded only where samples are needed."""

    def __init__(self, track: Track) -> None:
        self.container = COPYABLE[track.codec]
        self.codec_name = track.codec
        self.preroll_s = self.container.preroll_s
        self._track = track
        self._source = track.packets()
        self._decoder = Decoder(track)
        self._packets: deque[StreamPacket] = deque()
        self._buffered_bytes = 0
        self._end = track.origin_pts
        self._ended = False

    def fill(self, until: int, max_bytes: int) -> int:
        while self._end < until and not self._ended and self._buffered_bytes < max_bytes:
            item = next(self._source, None)
            if item is None:
                self._ended = True
                break
            self._packets.append(item)
            self._buffered_bytes += item.packet.size
            self._end = item.end_pts
        return min(self._end, until)

    def at_end(self) -> bool:
        return self._ended

    def skip_to(self, pts: int) -> None:
        step = self._track.pts_of(60.0)
        self.drop_before(pts)
        while self._end < pts and not self._ended:
            self.fill(min(pts, self._end + step), FAR)
            self.drop_before(pts)

    def drop_before(self, pts: int) -> None:
        while self._packets and self._packets[0].end_pts <= pts:
            self._buffered_bytes -= self._packets.popleft().packet.size

    def first_within(self, start: int, end: int) -> int | None:
        return next((max(start, item.pts) for item in self._between(start, end)), None)

    def end_pts(self) -> int:
        return self._end

    def snap(self, pts: int) -> int:
        return nearest((item.pts for item in reversed(self._packets)), pts)

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        settled = start - self._track.pts_of(self.preroll_s)
        self._decoder.restart()
        parts: list[bytes] = []
        first: float | None = None
        for item in self._between(settled, end):
            for at_s, data in self._decoder.decode(item):
                if item.end_pts > start:
                    first = at_s if first is None else first
                    parts.append(data)
        return (start if first is None else self._track.pts(first)), b"".join(parts)

    def cut(self, start: int, end: int) -> CutMedia | None:
        items = list(self._between(start, end))
        if not items:
            return None
        delay_s = decoder_delay_s(self._track, items[0].duration_s)
        return CutMedia(
            copy_packets(items, self._track.stream, self.codec_name),
            sum(item.duration_s for item in items) - delay_s,
            _time_map(items, self._track, delay_s),
            audio_sha256(self._track, [item.digest() for item in items]),
        )

    def _between(self, start: int, end: int) -> Iterator[StreamPacket]:
        return (item for item in self._packets if item.end_pts > start and item.pts < end)


def _time_map(
    items: Iterable[StreamPacket], track: Track, delay_s: float
) -> tuple[tuple[float, float], ...]:
    time_map: list[tuple[float, float]] = []
    origin, time_base = track.origin_pts, track.time_base
    upload_s = 0.0 - delay_s
    shift_s = float("inf")
    for item in items:
        at_s = (item.pts - origin) * time_base
        if abs(at_s - upload_s - shift_s) > JUMP_S:
            time_map.append((upload_s, at_s))
            shift_s = at_s - upload_s
        upload_s += item.duration_s
    return tuple(time_map)
