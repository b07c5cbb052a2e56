"""Text that nobody spoke: recognisers write credits and greetings over music and silence.

A segment is left out when two of three agree: no speech was heard under it, its whole text is a
known filler line, its own probabilities speak against it. None of them is enough alone: sung words
are no speech to a detector, anybody may thank for watching, and mumbling is improbable.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import accumulate

from sttbatch.core.models import DroppedSegment, Evidence, Segment
from sttbatch.processing.media.loudness import Span, uncovered
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
    known = None if speech is None else _Known(segments, speech)
    dropped = {}
    for index in doubtful:
        segment = segments[index]
        evidence = evidence_of_text(segment)
        if known is not None and known.spoken_s(index) < SPOKEN_S:
            evidence = (Evidence.NO_SPEECH, *evidence)
        if len(evidence) >= ENOUGH:
            dropped[index] = DroppedSegment(segment, evidence)
    return dropped


class _Known:
    """The segments of an answer by their start, beside the speech that was heard.

    An answer may have thousands; each is compared with its neighbours only.
    """

    def __init__(self, segments: Sequence[Segment], speech: Sequence[Span]) -> None:
        self._segments = segments
        self._speech = speech
        self._order = sorted(range(len(segments)), key=lambda index: segments[index].start_s)
        self._starts_s = [segments[index].start_s for index in self._order]
        # The last end so far says where looking back can stop.
        self._ends_s = list(accumulate((segments[each].end_s for each in self._order), max))

    def spoken_s(self, index: int) -> float:
        """Seconds of speech at or near a segment that no other one stands for."""
        segment = self._segments[index]
        near = Span(segment.start_s - DRIFT_S, segment.end_s + DRIFT_S)
        past = bisect_left(self._starts_s, near.end_s)
        first = bisect_right(self._ends_s, near.start_s)
        others = (self._segments[each] for each in self._order[first:past] if each != index)
        known = [Span(each.start_s, each.end_s) for each in others]
        heard = [
            Span(max(each.start_s, near.start_s), min(each.end_s, near.end_s))
            for each in self._speech
        ]
        return sum(
            part.duration_s
            for span in heard
            if span.duration_s > 0
            for part in uncovered(known, span)
        )


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
