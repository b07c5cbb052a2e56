"""Text that nobody spoke: recognisers write credits and greetings over music and silence.

A segment is left out when two of three agree: no speech was heard under it, its whole text is a
known filler line, its own probabilities speak against it. None of them is enough alone: sung words
are no speech to a detector, anybody may thank for watching, and mumbling is improbable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import accumulate
from operator import attrgetter, itemgetter

from sttbatch.core.models import DroppedSegment, Evidence, Segment
from sttbatch.processing.media.loudness import Span
from sttbatch.processing.transcript.overlap import plain

ENOUGH = 2
"""Of the three kinds of evidence."""

SPOKEN_S = 0.3
"""Less speech than this is no word of a line."""

DRIFT_S = 0.5
"""Segment times are off by up to this much in each window of 30 s (vLLM issue 53144)."""


def evidence_of_text(segment: Segment) -> tuple[Evidence, ...]:
    """What speaks against a segment before anybody has listened."""
    found = []
    if plain(segment.text) in filler_lines():
        found.append(Evidence.FILLER_LINE)
    if segment.unlikely:
        found.append(Evidence.UNLIKELY)
    return tuple(found)


def dropped_segments(
    segments: Sequence[Segment], doubtful: Iterable[int], speech: Sequence[Span] | None
) -> dict[int, DroppedSegment]:
    """Those of the `doubtful` segments that nobody spoke, by index.

    `speech` is what was heard; None: nobody listened.
    """
    under = None if speech is None else _SpeechUnder(segments, speech)
    dropped = {}
    for index in doubtful:
        segment = segments[index]
        evidence = evidence_of_text(segment)
        if under is not None and under.spoken_s(index) < SPOKEN_S:
            evidence = (Evidence.NO_SPEECH, *evidence)
        if len(evidence) >= ENOUGH:
            dropped[index] = DroppedSegment(segment, evidence)
    return dropped


class _SpeechUnder:
    """The speech under each segment of an answer that no other segment stands for.

    An answer may have thousands, at any times: all are swept once.
    """

    def __init__(self, segments: Sequence[Segment], speech: Iterable[Span]) -> None:
        self._segments = segments
        self._alone_s = [0.0] * len(segments)
        free: list[Span] = []
        at_s, speakers, claims, claimants = 0.0, 0, 0, 0
        for moment_s, change, index in _moments(segments, speech):
            if speakers and moment_s > at_s:
                if not claims:
                    free.append(Span(at_s, moment_s))
                elif claims == 1:
                    # The sum of a single index.
                    self._alone_s[claimants] += moment_s - at_s
            at_s = moment_s
            if index is None:
                speakers += change
            else:
                claims += change
                claimants += change * index
        self._free = free
        self._sums_s = [0.0, *accumulate(each.duration_s for each in free)]

    def spoken_s(self, index: int) -> float:
        """Seconds of speech at or near a segment that no other one stands for."""
        segment = self._segments[index]
        free_s = self._free_until(segment.end_s + DRIFT_S)
        free_s -= self._free_until(segment.start_s - DRIFT_S)
        return self._alone_s[index] + free_s

    def _free_until(self, at_s: float) -> float:
        """Seconds of speech before `at_s` that no segment stands for."""
        past = bisect_left(self._free, at_s, key=attrgetter("start_s"))
        beyond_s = max(0.0, self._free[past - 1].end_s - at_s) if past else 0.0
        return self._sums_s[past] - beyond_s


def _moments(
    segments: Iterable[Segment], speech: Iterable[Span]
) -> list[tuple[float, int, int | None]]:
    """When segments, by index, and speech (None) begin (1) and end (-1), in order."""
    moments: list[tuple[float, int, int | None]] = []
    for index, each in enumerate(segments):
        moments += (each.start_s, 1, index), (each.end_s, -1, index)
    for span in speech:
        moments += (span.start_s, 1, None), (span.end_s, -1, None)
    return sorted(moments, key=itemgetter(0))


@cache
def filler_lines() -> frozenset[str]:
    """All known lines, of all languages, as `plain` spells them.

    A server that takes music for another language writes that language's lines.
    """
    folder = resources.files("sttbatch.processing.transcript") / "filler_lines"
    return frozenset(
        plain(line)
        for file in folder.iterdir()
        if file.name.endswith(".txt")
        for line in file.read_text("utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    )
