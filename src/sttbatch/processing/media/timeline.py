"""The start and duration of a track, as far as its headers are credible."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from av.audio.stream import AudioStream
from av.container import InputContainer

_UNTRUE_BYTES = (2_000_000_000, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Lengths that are written by programs that write to a pipe: lame and others, SoX (AIFF), SoX and
eSpeak (WAV), arecord, ffmpeg."""

_NEAR_BYTES = 4096
"""Such lengths differ by headers and partial frames."""

_MOST = 2.0
"""A stream with more bytes than this share of its file has another length; bit rates vary."""

_ALL = 0.99
"""ASF packets have headers of more than 1 %."""

_LATE_S = 0.25
"""A later start is intended; encoder delays are shorter."""

_LEAST_BIT_RATE = 1_000
"""bit/s: MPEG-TS has at least one packet of 188 bytes in a second."""


class Length(NamedTuple):
    """The duration of a track in seconds, 0 if unknown; `sure`: its own header states it."""

    seconds: float
    sure: bool


def is_untrue(declared_bytes: int, size_bytes: int) -> bool:
    """Whether a length means 'unknown'; truncated files declare other lengths."""
    near = any(abs(declared_bytes - each) <= _NEAR_BYTES for each in _UNTRUE_BYTES)
    return declared_bytes == 0 or (near and declared_bytes > size_bytes)


def has_loose_clock(container: InputContainer) -> bool:
    """Whether timestamps may start at any value and restart, as in MPEG streams."""
    return container.format.name in ("mpegts", "mpeg")


def is_countable(container: InputContainer) -> bool:
    """Whether a length that cannot be true is replaced by that of all packets."""
    return has_loose_clock(container) or container.format.name == "avi"


def origin(container: InputContainer, stream: AudioStream, time_base: Fraction) -> int:
    """The timestamp that a player shows as 0:00."""
    # An mp3's encoder delay is the stream's start; in others, video may begin before the audio.
    if container.format.name == "mp3" or len(container.streams) == 1:
        start = stream.start_time or 0
    else:
        start = round((container.start_time or 0) / 1e6 / time_base)
    if has_loose_clock(container):
        # libavformat counts a clock that wraps from below 0.
        return start
    is_late = start * time_base > _LATE_S
    return 0 if is_late and _counts_from_zero(container, stream) else max(0, start)


def length(container: InputContainer, stream: AudioStream, size_bytes: int) -> Length:
    """The duration that is declared by the track or, without that, by its container."""
    time_base = stream.time_base
    if stream.duration and time_base:
        seconds, bit_rate = float(stream.duration * time_base), stream.bit_rate or 0
        if is_countable(container):
            # MPEG: from the last timestamp, which may be from another clock. AVI: in another unit.
            believed = seconds * max(bit_rate, _LEAST_BIT_RATE) <= _MOST * 8 * size_bytes
            is_sure = believed and not has_loose_clock(container)
            return Length(seconds if believed else 0.0, sure=is_sure)
        stream_bytes = seconds * bit_rate / 8
        if bit_rate and is_untrue(round(stream_bytes), size_bytes):
            return Length(size_bytes * 8 / bit_rate, sure=False)
        # Without a declared length, libavformat takes all of an ASF file for samples.
        is_estimated = container.format.name == "asf" and stream_bytes > _ALL * size_bytes
        return Length(seconds, sure=not is_estimated)
    end_s = _tagged_end_s(stream)
    if end_s is not None and time_base:
        start_s = float(origin(container, stream, time_base) * time_base)
        return Length(max(0.0, end_s - start_s), sure=True)
    # Video or subtitles may last longer than the audio.
    alone = len(container.streams) == 1
    if not container.duration and alone and stream.bit_rate:
        return Length(size_bytes * 8 / stream.bit_rate, sure=False)
    return Length((container.duration or 0) / 1e6, sure=alone)


def _counts_from_zero(container: InputContainer, stream: AudioStream) -> bool:
    """Whether the declared length includes what is before the first timestamp.

    A live stream that was recorded in Matroska has its sender's clock, and no length.
    """
    if container.format.name.startswith("mov"):
        return True
    return container.format.name.startswith("matroska") and bool(container.duration)


def _tagged_end_s(stream: AudioStream) -> float | None:
    """The end of the last packet by Matroska's tag DURATION, as hours:minutes:seconds."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = map(float, parts)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
