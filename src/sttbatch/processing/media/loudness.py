"""Loudness of a recording over time, and which spans of it count as sound.

Pure arithmetic over levels that a media worker measured. Speech is 20 dB or more above the noise of
the room, and its pauses take a fifth to a third of the time. So the quietest 10 % of the frames are
in pauses, and frames 10 dB above them are sound (ITU-T P.56 has a margin of 15.9 dB, for clean
telephone speech; 10 dB includes distant voices).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct

FRAME_S = 0.02
"""Length of a frame: a fifth of the shortest gap between words that has to be detected."""

QUIET_DB = 60
"""dB below full scale. What is quieter is no sound where nobody listens for speech."""

ROUNDING_DB = 84
"""dB below full scale: two steps of 32768. What is quieter is rounding and dither."""

LOUD_DB = 40
"""dB below full scale. Of a whole chunk that is quieter, and level, it is asked whether it holds
speech."""

MARGIN_DB = 10
FLOOR_SHARE = 0.1

BRIDGE_S = 0.06
"""A shorter dip does not end a sound: consonants close the mouth."""

SHORTEST_SOUND_S = 0.16
"""A shorter one is a click; words last 0.2 s and more."""


class Span(NamedTuple):
    """A span of time, in seconds."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class LoudnessLevels(Struct, frozen=True):
    """RMS levels of one span: a byte for each 20 ms, dB below full scale, at most 120."""

    start_s: float
    attenuation_db: bytes

    @property
    def end_s(self) -> float:
        return self.start_s + FRAME_S * len(self.attenuation_db)

    def within(self, span: Span) -> LoudnessLevels:
        """The levels inside of `span`, to within half a frame."""
        first = max(0, round((span.start_s - self.start_s) / FRAME_S))
        past = max(first, round((span.end_s - self.start_s) / FRAME_S))
        return LoudnessLevels(self.start_s + FRAME_S * first, self.attenuation_db[first:past])


def sound_threshold(frames: bytes) -> int:
    """The dB below full scale that separate sound from noise, by the noise floor of `frames`."""
    if not frames:
        return QUIET_DB
    quietest = sorted(frames)[int((1 - FLOOR_SHARE) * (len(frames) - 1))]
    return min(quietest - MARGIN_DB, QUIET_DB)


def find_sounds(levels: LoudnessLevels, threshold: int) -> list[Span]:
    """Find the spans of sound, with short dips bridged and clicks left out."""
    spans = [
        Span(levels.start_s + FRAME_S * first, levels.start_s + FRAME_S * past)
        for first, past in _runs(levels.attenuation_db, threshold, sound=True)
    ]
    return [
        span for span in merge_spans(spans, BRIDGE_S) if span.duration_s >= SHORTEST_SOUND_S - 1e-6
    ]


def merge_spans(spans: Iterable[Span], within_s: float = 0.0) -> list[Span]:
    """Sort spans by their start, and merge those no further apart than `within_s`."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start_s - merged[-1].end_s <= within_s + 1e-6:
            merged[-1] = Span(merged[-1].start_s, max(merged[-1].end_s, span.end_s))
        else:
            merged.append(span)
    return merged


def uncovered(spans: Iterable[Span], within: Span, at_least_s: float = 0.0) -> list[Span]:
    """The parts of `within` that no span covers and that last at least `at_least_s`."""
    parts: list[Span] = []
    at_s = within.start_s
    for span in merge_spans(spans):
        parts.append(Span(at_s, min(span.start_s, within.end_s)))
        at_s = max(at_s, span.end_s)
    parts.append(Span(at_s, within.end_s))
    return [part for part in parts if part.duration_s > max(0.0, at_least_s - 1e-6)]


def is_quiet(frames: bytes) -> bool:
    """Whether nothing in a chunk rises above its own noise floor, nor above `LOUD_DB`."""
    threshold = max(sound_threshold(frames), LOUD_DB)
    return not find_sounds(LoudnessLevels(0.0, frames), threshold)


def quietest_s(levels: LoudnessLevels, threshold: int) -> float:
    """The second in the middle of the longest pause or, if there is none, of the quietest frame."""
    pauses = list(_runs(levels.attenuation_db, threshold, sound=False))
    if pauses:
        first, past = max(pauses, key=lambda pause: pause[1] - pause[0])
        return levels.start_s + FRAME_S * (first + past) / 2
    loudness = [(-attenuation, at) for at, attenuation in enumerate(levels.attenuation_db)]
    return levels.start_s + FRAME_S * (min(loudness)[1] + 0.5 if loudness else 0.0)


def _runs(
    attenuation_db: Iterable[int], threshold: int, *, sound: bool
) -> Iterator[tuple[int, int]]:
    """Yield the first frame of each run of sound, or of none, and the frame after its last."""
    past = 0
    for is_sound, run in groupby(attenuation_db, lambda level_db: level_db < threshold):
        first, past = past, past + sum(1 for _ in run)
        if is_sound is sound:
            yield first, past
