"""The times of packets, on a clock that neither stops nor goes back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import repeat
from typing import NamedTuple

from sttbatch.core.errors import MediaError
from sttbatch.processing.media import limits, timeline
from sttbatch.processing.media.demuxing import AudioPacket, Demuxer, Run, Section

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
        if self.section.mark:
            digest.update(self.section.mark)
        return digest.digest()


class PacketClock:
    """Gives packets the length of a frame, which is exact, unlike rounded timestamps.

    They are in the order of their starts; each starts at most `JUMP_S` before the last one's end,
    or one unit of a clock that is coarser.

    Args:
        demuxer: the source of the packets.
        frame_s: the length of a frame in seconds; 0: unknown.
    """

    def __init__(self, demuxer: Demuxer, frame_s: float) -> None:
        self._demuxer = demuxer
        self._time_base = float(demuxer.time_base)
        self._jump, self._ahead = self._tolerance()
        self._first = self._section = demuxer.first
        self._frame_s = self._own_s = frame_s
        self._expected, self._last = self._first.origin_pts, -FAR
        self._earliest, self._furthest = -FAR, FAR
        self._latest = self._first.origin_pts + self._length(limits.MAX_DURATION_S)
        self._begins = self._shift = 0
        # Whether timestamps and lengths of packets are ignored.
        self._is_counted = self._is_own_length = False

    def place(self, run: Run) -> Iterable[StreamPacket]:
        """The packets of the next run with their times.

        Raises MediaError if they have none, or exceed the maximum duration.
        """
        section, packets, unheard = run
        if section is not self._section:
            self._enter(section)
        is_plain = not (unheard or self._is_counted or self._is_own_length) and section.scale == 1
        # After a packet without a length, the next timestamp is corrected.
        if is_plain and self._last < self._expected:
            length = _equal_length(packets, self._expected - self._shift)
            if length and self._expected + length * len(packets) <= self._latest:
                return self._steady(packets, length)
        return self._one_by_one(packets, unheard)

    def _enter(self, section: Section) -> None:
        if section.link != self._section.link:
            origin_pts = round(section.origin_pts * section.scale)
            self._begins = self._shift = self._expected - origin_pts
            self._own_s = section.context.frame_size / section.context.sample_rate
        self._section = section
        self._frame_s = section.frame_s or self._own_s
        has_own_frames = section.frame_s > 0
        self._is_counted |= has_own_frames and self._demuxer.format in _WITHOUT_CLOCK
        self._is_own_length = has_own_frames and section is not self._first

    def _steady(self, packets: list[AudioPacket], length: int) -> Iterable[StreamPacket]:
        """Place packets that follow each other: almost all of the 140,000 in an hour."""
        expected = self._expected
        until = expected + length * len(packets)
        self._reach(until - length, until)
        starts = range(expected, until, length)
        ends = range(expected + length, until + 1, length)
        same = repeat(self._seconds(length)), repeat(self._section), repeat(())
        fields = zip(starts, ends, same[0], packets, same[1], same[2], strict=False)
        return map(StreamPacket._make, fields)

    def _one_by_one(
        self, packets: list[AudioPacket], unheard: tuple[AudioPacket, ...]
    ) -> Iterable[StreamPacket]:
        scale, usual = self._section.scale, self._length(self._frame_s)
        for packet in packets:
            pts = packet.pts
            length = usual
            if packet.duration and not self._is_own_length:
                length = max(0, round(packet.duration * scale))
            elif not length and pts is None:
                raise MediaError("its packets have neither timestamps nor durations")
            if pts is None or self._is_counted:
                pts = self._expected
            else:
                pts = self._corrected(
                    pts if scale == 1 else round(pts * scale), has_length=bool(packet.duration)
                )
            end_pts = pts + length
            if end_pts > self._latest:
                seconds = (end_pts - self._first.origin_pts) * self._time_base
                raise MediaError(f"its timestamps reach {limits.hours(seconds)}")
            self._reach(pts, end_pts)
            yield StreamPacket(pts, end_pts, self._seconds(length), packet, self._section, unheard)
            unheard = ()

    def _corrected(self, own: int, *, has_length: bool) -> int:
        """A timestamp as this clock counts."""
        pts = own + self._shift
        if pts <= self._last or not self._earliest <= pts <= self._furthest:
            # After a single wrong timestamp the same clock goes on.
            begun = own + self._begins
            goes_on = self._last < begun and abs(begun - self._expected) <= self._jump
            self._shift = self._begins if goes_on else self._expected - own
            pts = own + self._shift
            self._is_counted = self._demuxer.format == "avi" and has_length
        return pts

    def _reach(self, pts: int, end_pts: int) -> None:
        """Note the start and the end of the last packet."""
        self._last, self._expected = pts, end_pts
        self._earliest = end_pts - self._jump
        self._furthest = end_pts + self._ahead if end_pts > pts else FAR

    def _seconds(self, length: int) -> float:
        exact = self._frame_s / self._time_base
        # Some decoders double the rate after the length of a frame was read (HE-AAC).
        is_usual = exact - 1.5 <= length <= exact + 1.5
        return self._frame_s if is_usual else length * self._time_base

    def _length(self, seconds: float) -> int:
        return round(seconds / self._time_base)

    def _tolerance(self) -> tuple[int, int]:
        """How far timestamps may be behind and ahead of the running count."""
        if timeline.has_loose_clock(self._demuxer.container):
            return self._length(JUMP_S), self._length(_NEW_CLOCK_S)
        if self._demuxer.format == "avi":
            return (max(1, self._length(_COUNTED_JUMP_S)),) * 2
        return self._length(JUMP_S), FAR


def _equal_length(packets: list[AudioPacket], pts: int) -> int:
    """The length of each if they are equally long and follow each other from `pts` on; else 0."""
    length = packets[0].duration or 0 if packets else 0
    if length <= 0 or any(packet.duration != length for packet in packets):
        return 0
    told = [packet.pts for packet in packets]
    return length if told == list(range(pts, pts + length * len(packets), length)) else 0
