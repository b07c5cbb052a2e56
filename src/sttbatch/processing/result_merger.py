"""Chunks' answers in, one transcript out: every word once, every hole named.

At a cut in silence a word belongs to the side its middle lies on. At a cut with overlap both
neighbours heard the same two seconds; their words are aligned by text (SequenceMatcher, longest
matching blocks) and the transcript changes over from one to the other at the matched word nearest
to the cut, so that neither side's damaged edge survives and nothing is there twice.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from sttbatch.core.models import (
    ChunkSummary,
    Gap,
    GapReason,
    Segment,
    Stretch,
    Transcript,
    Transcription,
    Word,
)
from sttbatch.processing.timestamp_adjuster import TimestampAdjuster

MERGE_VERSION = 1
"""Part of a transcript's key: a better merger must not be hidden by what an older one made."""

ALIGN_WITHIN_S = 1.5
"""How far from an overlapped cut words are compared; the overlap's half and the drift of
segment times within one window (0.5 s)."""


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """What became of one stretch; `heard` is None where there are no words to have.

    Attributes:
        gap: why `heard` is None.
    """

    stretch: Stretch
    heard: Transcription | None
    cached: bool = False
    gap: GapReason | None = None
    detail: str = ""


@dataclass(slots=True)
class _Token:
    """A word of a segment; `exact` when the recogniser itself timed it."""

    text: str
    start_s: float
    end_s: float
    segment: int
    exact: bool

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


class ResultMerger:
    """Stateless."""

    def __init__(self) -> None:
        self._adjuster = TimestampAdjuster()

    def merge(self, outcomes: Iterable[ChunkOutcome], duration_s: float) -> Transcript:
        """Join the outcomes of one recording; `duration_s` is its counted length."""
        ordered = sorted(outcomes, key=lambda outcome: outcome.stretch.start_s)
        segments: list[Segment] = []
        previous: ChunkOutcome | None = None
        for outcome in ordered:
            added = self._segments(outcome)
            neighbours = previous is not None and (
                previous.stretch.end.pts == outcome.stretch.start.pts
            )
            if outcome.stretch.start.overlap and neighbours and previous and previous.heard:
                segments, added = _join(segments, added, outcome.stretch.start_s)
            else:
                added = _from(added, outcome.stretch.start_s)
            segments += added
            previous = outcome
        return Transcript(
            duration_s=duration_s,
            language=next(
                (o.heard.language for o in ordered if o.heard and o.heard.language), None
            ),
            segments=tuple(_monotonic(segments)),
            chunks=tuple(
                ChunkSummary(
                    index,
                    outcome.stretch.start_s,
                    outcome.stretch.end_s,
                    outcome.cached,
                    _status(outcome),
                )
                for index, outcome in enumerate(ordered)
            ),
            gaps=tuple(_gaps(ordered)),
        )

    def _segments(self, outcome: ChunkOutcome) -> list[Segment]:
        if outcome.heard is None:
            return []
        segments = self._adjuster.adjust(outcome.stretch, outcome.heard)
        return [segment for segment in segments if segment.text or segment.words]


def _status(outcome: ChunkOutcome) -> str:
    if outcome.gap is None:
        return "ok"
    return "no_speech" if outcome.gap is GapReason.NO_SPEECH else "failed"


def _gaps(outcomes: Sequence[ChunkOutcome]) -> Iterable[Gap]:
    for outcome in outcomes:
        if outcome.gap is not None:
            stretch = outcome.stretch
            yield Gap(stretch.start_s, stretch.end_s, outcome.gap, outcome.detail)


def _from(segments: list[Segment], start_s: float) -> list[Segment]:
    """Leave to the predecessor what was heard before this chunk's own start."""
    kept = []
    for segment in segments:
        if segment.words:
            words = [word for word in segment.words if (word.start_s + word.end_s) / 2 >= start_s]
            if len(words) == len(segment.words):
                kept.append(segment)
            elif words:
                kept.append(_of_words(segment, words))
        elif segment.end_s > start_s:
            kept.append(segment)
    return kept


def _join(
    before: list[Segment], after: list[Segment], cut_s: float
) -> tuple[list[Segment], list[Segment]]:
    """Decide which of the words heard twice around `cut_s` is kept, and from which side."""
    left, right = _tokens(before), _tokens(after)
    left_end, right_start = _change_over(left, right, cut_s)
    return (
        _rebuild(before, left, left[:left_end]),
        _rebuild(after, right, right[right_start:]),
    )


def _change_over(left: list[_Token], right: list[_Token], cut_s: float) -> tuple[int, int]:
    """How many tokens of `left` stay, and from which token of `right` on it goes on."""
    first_left = next(
        (i for i, token in enumerate(left) if token.end_s >= cut_s - ALIGN_WITHIN_S), len(left)
    )
    past_right = next(
        (i for i, token in enumerate(right) if token.start_s > cut_s + ALIGN_WITHIN_S), len(right)
    )
    tail, head = left[first_left:], right[:past_right]
    matcher = SequenceMatcher(
        None, [_plain(t.text) for t in tail], [_plain(t.text) for t in head], autojunk=False
    )
    pairs = [
        (first_left + block.a + k, block.b + k)
        for block in matcher.get_matching_blocks()
        for k in range(block.size)
        # The same word again a moment later is another word.
        if abs(tail[block.a + k].middle_s - head[block.b + k].middle_s) < ALIGN_WITHIN_S
    ]
    if pairs:
        at_left, at_right = min(pairs, key=lambda pair: abs(left[pair[0]].middle_s - cut_s))
        return at_left + 1, at_right + 1
    return (
        next((i for i, token in enumerate(left) if token.middle_s >= cut_s), len(left)),
        next((i for i, token in enumerate(right) if token.middle_s >= cut_s), len(right)),
    )


def _plain(text: str) -> str:
    """Case, accents' encoding and punctuation differ between two hearings of one word."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in folded if char.isalnum()) or folded


def _tokens(segments: Sequence[Segment]) -> list[_Token]:
    """Every word; where a segment has no word times, spread over it by length."""
    tokens = []
    for index, segment in enumerate(segments):
        words = segment.words or spread(segment.text, segment.start_s, segment.end_s)
        tokens += [
            _Token(word.text, word.start_s, word.end_s, index, bool(segment.words))
            for word in words
        ]
    return tokens


def spread(text: str, start_s: float, end_s: float) -> tuple[Word, ...]:
    """Words over a stretch, each lasting in proportion to its characters."""
    parts = text.split()
    per_char_s = (end_s - start_s) / max(1, sum(len(part) + 1 for part in parts))
    words = []
    at_s = start_s
    for part in parts:
        next_s = at_s + per_char_s * (len(part) + 1)
        words.append(Word(part, at_s, next_s))
        at_s = next_s
    return tuple(words)


def _rebuild(
    segments: Sequence[Segment], tokens: Sequence[_Token], kept: Sequence[_Token]
) -> list[Segment]:
    """The segments with only `kept` of their tokens; untouched where all were kept."""
    rebuilt = []
    for index, segment in enumerate(segments):
        mine = [token for token in kept if token.segment == index]
        if len(mine) == sum(token.segment == index for token in tokens):
            rebuilt.append(segment)
        elif mine:
            words = [Word(token.text, token.start_s, token.end_s) for token in mine]
            whole = _of_words(segment, words)
            rebuilt.append(whole if mine[0].exact else replace(whole, words=()))
    return rebuilt


def _of_words(segment: Segment, words: Sequence[Word]) -> Segment:
    # Languages written without spaces must not get any.
    space = " " if " " in segment.text or len(words) == 1 else ""
    return replace(
        segment,
        text=space.join(word.text for word in words),
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        words=tuple(words),
    )


def _monotonic(segments: Iterable[Segment]) -> Iterable[Segment]:
    """No segment starts before its predecessor, or ends before it starts."""
    at_s = 0.0
    for segment in segments:
        start_s = max(at_s, segment.start_s)
        yield replace(segment, start_s=start_s, end_s=max(start_s, segment.end_s))
        at_s = start_s
