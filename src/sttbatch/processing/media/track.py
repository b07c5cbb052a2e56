"""One audio stream of a file, read once from front to back, and its clock."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Self

from sttbatch.core.errors import MediaError
from sttbatch.core.models import AudioFile
from sttbatch.processing.media import limits, timeline
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.packet_clock import JUMP_S, PacketClock, StreamPacket


class Track:
    """An audio stream and its clock, which neither stops nor goes back.

    Attributes:
        origin_pts: the timestamp that a player shows as 0:00.
        fingerprint: everything besides the packets that determines how they are decoded.
        first: its first section.

    Raises:
        MediaError: it exceeds a limit.
    """

    def __init__(self, demuxer: Demuxer) -> None:
        self.size_bytes = demuxer.size_bytes
        self._demuxer = demuxer
        self.stream = demuxer.stream
        self._length = timeline.length(demuxer.container, self.stream, self.size_bytes)
        try:
            limits.check_limits(self.stream, self._length.seconds)
        except MediaError:
            demuxer.close()
            raise
        self.first = demuxer.first
        self.time_base = float(demuxer.time_base)
        self.origin_pts = self.first.origin_pts
        self.context = self.stream.codec_context
        self.context.thread_count = 1
        self.codec = demuxer.codec
        self.extradata = self.context.extradata or b""
        self.fingerprint = demuxer.fingerprint
        self._frame_s = self.context.frame_size / self.context.sample_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._demuxer.close()

    def seconds(self, pts: int) -> float:
        return (pts - self.origin_pts) * self.time_base

    def pts(self, seconds: float) -> int:
        return round(seconds / self.time_base) + self.origin_pts

    def pts_of(self, seconds: float) -> int:
        return round(seconds / self.time_base)

    def seek(self, second: float) -> None:
        """Begin reading shortly before `second` if timestamps are reliable, else at the start."""
        self._demuxer.seek(self.pts(second))

    def audio_file(self, *, duration_is_estimate: bool) -> AudioFile:
        container = self._demuxer.container
        if not self._length.seconds and timeline.is_countable(container):
            # Only reading all of it tells.
            self._length = timeline.Length(self._counted_s(), sure=True)
        declared = self._length.seconds + sum(
            timeline.length(later, stream, self.size_bytes).seconds
            for _, later, stream in self._demuxer.later_links()
        )
        bit_rate = self.stream.bit_rate or 0
        if not bit_rate and len(container.streams) == 1 and declared > 0:
            bit_rate = round(self.size_bytes * 8 / declared)
        return AudioFile(
            size_bytes=self.size_bytes,
            duration_s=max(0.0, declared),
            duration_is_estimate=duration_is_estimate or not self._length.sure,
            codec=self.codec,
            container=container.format.name,
            sample_rate=self.context.sample_rate,
            channels=self.context.channels,
            bit_rate=bit_rate,
            stream=self._demuxer.index,
        )

    def _counted_s(self) -> float:
        return self.seconds(max((item.end_pts for item in self.packets()), default=self.origin_pts))

    def packets(self) -> Iterator[StreamPacket]:
        """Yield all packets in order; timestamps never go back by more than a rounding error.

        Raises MediaError if the file is damaged, or exceeds the maximum duration.
        """
        return self._counted() if self._frame_s else self._measured()

    def _counted(self) -> Iterator[StreamPacket]:
        clock = PacketClock(self._demuxer, self._frame_s)
        return chain.from_iterable(map(clock.place, self._demuxer.runs()))

    def _measured(self) -> Iterator[StreamPacket]:
        """Yield packets of varying lengths, each until the next one begins.

        Sums of rounded lengths would drift, by 1 % for Vorbis in Matroska.
        """
        jump = self.pts_of(JUMP_S)
        last: StreamPacket | None = None
        length = 0
        for item in self._counted():
            if last is not None:
                is_unknown = last.end_pts == last.pts
                is_next = is_unknown or abs(item.pts - last.end_pts) <= jump
                until = item.pts if is_next and item.pts > last.pts else last.end_pts
                length = until - last.pts
                end_pts = until if is_unknown else last.end_pts
                yield StreamPacket(last.pts, end_pts, length * self.time_base, *last[3:])
            last = item
        if last is not None and last.end_pts == last.pts:
            declared = max(0, self.pts(self._length.seconds) - last.pts)
            length = min(length or declared, declared or length)
            last = last._replace(end_pts=last.pts + length, duration_s=length * self.time_base)
        if last is not None:
            yield last
