"""One audio stream of a file, read once from front to back, and its clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple, Self

from sttbatch.core.errors import MediaError
from sttbatch.core.models import AudioFile
from sttbatch.processing.media import limits, timeline
from sttbatch.processing.media.demuxing import AudioPacket, Demuxer, Section

FAR = 1 << 62
"""A position beyond every timestamp."""

JUMP_S = 0.04
"""Timestamps that differ from the running count of samples by more than this are a jump."""

_NEW_CLOCK_S = 10.0
"""MPEG timestamps that are this far ahead are from another clock, and nothing is missing there
(ffmpeg's -dts_delta_threshold)."""

_COUNTED_JUMP_S = 0.01
"""AVI counts packets or bytes, which some programs declare wrongly; nothing is missing in it."""

_WITHOUT_CLOCK = ("aac", "mp3")
"""Formats without timestamps: libavformat counts by the parameters of the first frame."""


class StreamPacket(NamedTuple):
    """A packet; `duration_s` is that of its samples, which its timestamps may round.

    `unheard` are packets before it that a player decodes and does not play.
    """

    pts: int
    end_pts: int
    duration_s: float
    packet: AudioPacket
    section: Section
    unheard: tuple[AudioPacket, ...] = ()

    def digest(self) -> bytes:
        digest = hashlib.sha256(self.packet)
        digest.update(self.section.mark)
        return digest.digest()


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
        """Yield packets with the length of a frame, which is exact, unlike rounded timestamps."""
        # An hour has 140,000 packets, so this loop avoids lookups and calls.
        frame_s, time_base = self._frame_s, self.time_base
        jump, ahead = self._tolerance()
        usual = self.pts_of(frame_s)
        # Some decoders double the rate after the length of a frame was read (HE-AAC).
        shortest, longest = frame_s / time_base - 1.5, frame_s / time_base + 1.5
        without_clock = self._demuxer.format in _WITHOUT_CLOCK
        counts = self._demuxer.format == "avi"
        expected, earliest, furthest, last = self.origin_pts, -FAR, FAR, -FAR
        latest = self.pts(limits.MAX_DURATION_S)
        first = now = self.first
        begins, shift, is_counted, own_s, scale = 0, 0, False, frame_s, first.scale
        for section, packet, unheard in self._demuxer.packets():
            if section is not now:
                if section.link != now.link:
                    begins = shift = expected - round(section.origin_pts * section.scale)
                    own_s = section.context.frame_size / section.context.sample_rate
                now, frame_s, scale = section, section.frame_s or own_s, section.scale
                usual = self.pts_of(frame_s)
                shortest, longest = frame_s / time_base - 1.5, frame_s / time_base + 1.5
                is_counted = is_counted or (without_clock and section.frame_s > 0)
            pts = packet.pts
            if pts is None or is_counted:
                pts = expected
            else:
                own = pts if scale == 1 else round(pts * scale)
                pts = own + shift
                if pts <= last or not earliest <= pts <= furthest:
                    # After a single wrong timestamp the same clock goes on.
                    goes_on = last < own + begins and abs(own + begins - expected) <= jump
                    shift = begins if goes_on else expected - own
                    pts = own + shift
                    is_counted = counts and bool(packet.duration)
            length = usual
            if packet.duration and not (section.frame_s and section is not first):
                length = round(packet.duration * scale)
            elif not length and packet.pts is None:
                raise MediaError("its packets have neither timestamps nor durations")
            last, expected = pts, pts + length
            if expected > latest:
                raise MediaError(f"its timestamps reach {limits.hours(self.seconds(expected))}")
            earliest, furthest = expected - jump, expected + ahead if length else FAR
            is_usual = shortest <= length <= longest
            duration_s = frame_s if is_usual else length * time_base
            yield StreamPacket(pts, expected, duration_s, packet, section, unheard)

    def _tolerance(self) -> tuple[int, int]:
        """How far timestamps may be behind and ahead of the running count."""
        if timeline.has_loose_clock(self._demuxer.container):
            return self.pts_of(JUMP_S), self.pts_of(_NEW_CLOCK_S)
        if self._demuxer.format == "avi":
            return (max(1, self.pts_of(_COUNTED_JUMP_S)),) * 2
        return self.pts_of(JUMP_S), FAR

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
