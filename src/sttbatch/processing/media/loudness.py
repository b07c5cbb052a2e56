"""How loud a recording is from moment to moment, and what of it counts as sound.

Pure arithmetic over levels that a media worker measured. The figures: speech stands 20 dB and more
above the noise of its room, and its pauses take a fifth to a third of the time, so the tenth
quietest per cent of the frames lie in pauses, and what is 10 dB above them is sound (ITU-T P.56
puts its margin at 15.9 dB, for clean telephone speech; 10 dB keeps distant voices).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

FRAME_S = 0.02
"""A fifth of the shortest gap between words that should still show."""

SILENT_DB = 60
"""dB below full scale. What stays below never is sound: five bits of sixteen."""

LOUD_DB = 40
"""dB below full scale. Whole chunks that stay below it and level hold no speech."""

MARGIN_DB = 10
FLOOR_SHARE = 0.1

BRIDGE_S = 0.06
"""A shorter dip does not end a sound: consonants close the mouth."""

SHORTEST_SOUND_S = 0.16
"""A shorter one is a click; words last 0.2 s and more."""


class Span(NamedTuple):
    """From one second to another."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class LoudnessLevels:
    """RMS levels of one chunk_span.

    Attributes:
        below: one byte for each 20 ms, dB below full scale, at most 120.
    """

    start_s: float
    below: bytes

    @property
    def end_s(self) -> float:
        return self.start_s + FRAME_S * len(self.below)

    def within(self, span: Span) -> LoudnessLevels:
        """The frames that lie inside of `span`, give or take half a frame."""
        first = max(0, round((span.start_s - self.start_s) / FRAME_S))
        past = max(first, round((span.end_s - self.start_s) / FRAME_S))
        return LoudnessLevels(self.start_s + FRAME_S * first, self.below[first:past])


def sound_limit(frames: bytes) -> int:
    """Frames that are fewer dB below full scale than this are sound; `frames` hold the floor."""
    if not frames:
        return SILENT_DB
    quietest = sorted(frames)[int((1 - FLOOR_SHARE) * (len(frames) - 1))]
    return min(quietest - MARGIN_DB, SILENT_DB)


def sounds(levels: LoudnessLevels, limit: int) -> list[Span]:
    """Stretches of sound, dips bridged and clicks left out."""
    spans = [
        Span(levels.start_s + FRAME_S * first, levels.start_s + FRAME_S * past)
        for first, past in _runs(levels.below, limit)
    ]
    return [span for span in joined(spans, BRIDGE_S) if span.duration_s >= SHORTEST_SOUND_S - 1e-6]


def joined(spans: Iterable[Span], within_s: float = 0.0) -> list[Span]:
    """Sorted by their start, and one out of those no further apart than `within_s`."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start_s - found[-1].end_s <= within_s + 1e-6:
            found[-1] = Span(found[-1].start_s, max(found[-1].end_s, span.end_s))
        else:
            found.append(span)
    return found


def outside(spans: Iterable[Span], within: Span, at_least_s: float = 0.0) -> list[Span]:
    """What of `within` no span covers, in parts of at least `at_least_s`."""
    left: list[Span] = []
    at_s = within.start_s
    for span in joined(spans):
        left.append(Span(at_s, min(span.start_s, within.end_s)))
        at_s = max(at_s, span.end_s)
    left.append(Span(at_s, within.end_s))
    return [span for span in left if span.duration_s > max(0.0, at_least_s - 1e-6)]


def is_quiet(frames: bytes) -> bool:
    """Whether a whole chunk lies below its own noise floor, and that is no loud one."""
    limit = max(sound_limit(frames), LOUD_DB)
    return not sounds(LoudnessLevels(0.0, frames), limit)


def quietest(levels: LoudnessLevels, limit: int) -> float:
    """Second in the middle of the longest pause, or of the quietest frame where there is none."""
    pauses = list(_pauses(levels.below, limit))
    if pauses:
        first, past = max(pauses, key=lambda pause: pause[1] - pause[0])
        return levels.start_s + FRAME_S * (first + past) / 2
    loudness = [(-below, at) for at, below in enumerate(levels.below)]
    return levels.start_s + FRAME_S * (min(loudness)[1] + 0.5 if loudness else 0.0)


def _runs(below: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    first: int | None = None
    for at, each in enumerate(below):
        if each < limit and first is None:
            first = at
        elif each >= limit and first is not None:
            yield first, at
            first = None
    if first is not None:
        yield first, len(below)


def _pauses(below: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    at = 0
    for first, past in _runs(below, limit):
        if first > at:
            yield at, first
        at = past
    if at < len(below):
        yield at, len(below)
