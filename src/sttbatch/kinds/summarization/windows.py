"""Windows: which segments go out with one question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.scripts import tokens
from sttbatch.kinds.language.token_estimates import estimated_tokens

OVERLAP = 0.05
"""The part of a window that the next one has too, for what is said across its end."""

_FRAME_TOKENS = 14
"""Of a segment's braces, names and id."""

_LONGEST_WORD = 40
"""Longer runs of letters are cut where a window needs it."""


class Utterance(Struct, frozen=True):
    """A segment of a transcript, or a part of a long one.

    Attributes:
        id: the segment's ordinal in the transcript, counted from 1.
        start_s, end_s: seconds in the recording; those of the segment for its parts too.
    """

    id: int
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None

    @property
    def tokens(self) -> int:
        """About how many tokens it has in a question."""
        speaker = 0 if self.speaker is None else estimated_tokens(self.speaker) + 5
        return estimated_tokens(self.text) + speaker + _FRAME_TOKENS


def windows_of(
    utterances: Sequence[Utterance], most_tokens: int
) -> Iterator[tuple[Utterance, ...]]:
    """All utterances in their order, in windows that overlap.

    Each window has `most_tokens` at most. A segment is split, by words, if it has more by itself.
    """
    units = [part for each in utterances for part in _parts(each, most_tokens)]
    begin = 0
    while begin < len(units):
        end, count = begin, 0
        while end < len(units) and (count + units[end].tokens <= most_tokens or end == begin):
            count += units[end].tokens
            end += 1
        yield tuple(_joined(units[begin:end]))
        if end == len(units):
            return
        begin = max(_overlap_begin(units, end, most_tokens), begin + 1)


def halves(window: Sequence[Utterance]) -> list[tuple[Utterance, ...]]:
    """The window in two that have about as many tokens; long segments are split by words.

    It stays as it is if it has one word alone.
    """
    half = sum(each.tokens for each in window) // 2
    units = [part for each in window for part in _parts(each, half, half)]
    begun = list(accumulate(each.tokens for each in units))
    middle = min(range(1, len(units)), key=lambda at: abs(begun[at - 1] - half), default=1)
    return [tuple(_joined(part)) for part in (units[:middle], units[middle:]) if part]


def _overlap_begin(units: Sequence[Utterance], end: int, most_tokens: int) -> int:
    """Where the next window begins: with the last segments before `end` that fit, one at least.

    None if that one takes too much of the window.
    """
    room = min(4 * OVERLAP * most_tokens, most_tokens - units[end].tokens)
    begin, count = end, 0
    while begin > 0:
        count += units[begin - 1].tokens
        if count > room or (count > OVERLAP * most_tokens and begin < end):
            break
        begin -= 1
    return begin


def _parts(
    utterance: Utterance, most_tokens: int, part_tokens: int | None = None
) -> Iterator[Utterance]:
    """The utterance, or parts that are small enough to overlap if it is too long."""
    if utterance.tokens <= most_tokens:
        yield utterance
        return
    frame = utterance.tokens - estimated_tokens(utterance.text)
    room = part_tokens or max(int(OVERLAP * most_tokens), frame + 1)
    begin, count = 0, 0
    for start, end in _words(utterance.text):
        tokens_of_word = estimated_tokens(utterance.text[start:end])
        if count + tokens_of_word + frame > room and count:
            yield replace(utterance, text=utterance.text[begin:start])
            begin, count = start, 0
        count += tokens_of_word
    yield replace(utterance, text=utterance.text[begin:])


def _words(text: str) -> Iterator[tuple[int, int]]:
    for start, end in tokens(text):
        for at in range(start, end, _LONGEST_WORD):
            yield at, min(at + _LONGEST_WORD, end)


def _joined(units: Sequence[Utterance]) -> Iterator[Utterance]:
    """Consecutive parts of one segment as one."""
    begin = 0
    for at in range(1, len(units) + 1):
        if at == len(units) or units[at].id != units[begin].id:
            text = "".join(each.text for each in units[begin:at]).strip()
            yield replace(units[begin], text=text)
            begin = at
