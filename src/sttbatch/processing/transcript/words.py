"""The words of a segment, with or without times, and the part of its text that each stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.models import Segment, Word
from sttbatch.core.scripts import is_unspaced, letters, running_text, runs_of_letters

_LAST_SPACE = re.compile(r"\s(?=\S*\Z)")

_COMPARED = 2000
"""Words of one segment; those of a longer one are found by their number alone."""


class Token(Struct, frozen=True):
    """A word of a segment, or a character where words have neither times nor spaces.

    Attributes:
        segment: index of its segment.
        place: index in its segment.
        exact: the recogniser itself timed it.
    """

    text: str
    start_s: float
    end_s: float
    segment: int
    place: int
    exact: bool

    @property
    def middle_s(self) -> float:
        return (self.start_s + self.end_s) / 2


def tokens_of(segments: Sequence[Segment]) -> list[Token]:
    """The words of segments, spread over a segment by their length where they have no times."""
    return [
        Token(
            word.text,
            word.start_s,
            word.end_s,
            index,
            place,
            bool(segment.words),
        )
        for index, segment in enumerate(segments)
        for place, word in enumerate(_words(segment))
    ]


def spread(text: str, start_s: float, end_s: float) -> tuple[Word, ...]:
    """Spread a text's words over a time span, each in proportion to its characters.

    A script without spaces is spread by what readers take for one character (UAX 29).
    """
    spans = _spans(text)
    per_char_s = (end_s - start_s) / max(1, sum(past - first + 1 for first, past in spans))
    words = []
    at_s = start_s
    for first, past in spans:
        next_s = at_s + per_char_s * (past - first + 1)
        words.append(Word(text[first:past], at_s, next_s))
        at_s = next_s
    return tuple(words)


def reduced(segment: Segment, kept: Sequence[int]) -> Segment:
    """Reduce a segment to some of its words, by index, and to their times.

    Punctuation is the text's: word lists come without it.
    """
    words, text = _words(segment), segment.text
    if len(kept) == len(words):
        return segment
    begins = _begins(text, words) if segment.words else [first for first, _ in _spans(text)]
    # What stands before the first word belongs to it, all else to the word before it.
    bounds = [0, *begins[1:], len(text)]
    breaks = [at for at in range(1, len(kept)) if kept[at] != kept[at - 1] + 1]
    runs = [kept[first:past] for first, past in pairwise([0, *breaks, len(kept)])]
    parts = [text[bounds[run[0]] : bounds[run[-1] + 1]].strip() for run in runs]
    return replace(
        segment,
        text=running_text(parts) or running_text(words[index].text for index in kept),
        start_s=words[kept[0]].start_s,
        end_s=words[kept[-1]].end_s,
        words=tuple(words[index] for index in kept) if segment.words else (),
    )


def _words(segment: Segment) -> tuple[Word, ...]:
    return segment.words or spread(segment.text, segment.start_s, segment.end_s)


def _spans(text: str) -> list[tuple[int, int]]:
    """Where words begin and end, or characters of a script without spaces."""
    spans: list[tuple[int, int]] = []
    goes_on = False
    end = 0
    # Loading ICU takes a while, and most transcripts need no look at their characters.
    from icu4py.breakers import CharacterBreaker

    for character in CharacterBreaker(text, "root"):
        start, end = end, end + len(character)
        if character[0].isspace():
            goes_on = False
        elif is_unspaced(character[0]):
            spans.append((start, end))
            goes_on = False
        elif goes_on:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
            goes_on = True
    # Marks belong to the word before them.
    return [span for span in spans if letters(text[slice(*span)])] or spans[:1]


def _begins(text: str, words: Sequence[Word]) -> list[int]:
    """Where in its text each word begins, in order."""
    runs = runs_of_letters(text)
    written = [letters(text[first:past]) for first, past in runs]
    said = [
        (letters(word.text[first:past]), index)
        for index, word in enumerate(words)
        for first, past in runs_of_letters(word.text)
    ]
    counterparts = _counterparts(written, [each for each, _ in said])
    starts = [_start(text, at, runs) for at in range(len(runs))] + [len(text)]
    found: dict[int, int] = {}
    for (_, index), counterpart in zip(said, counterparts, strict=True):
        found.setdefault(index, starts[counterpart])
    begins: list[int] = []
    following = len(text)
    for index in range(len(words) - 1, -1, -1):
        following = found.get(index, following)
        begins.append(following)
    return begins[::-1]


def _counterparts(written: Sequence[str], said: Sequence[str]) -> list[int]:
    """For each word said its index in what is written; others have what is between."""
    if written == said:
        return list(range(len(said)))
    alike: list[tuple[int, int]] = []
    if max(len(written), len(said)) <= _COMPARED:
        blocks = SequenceMatcher(None, written, said, autojunk=False).get_matching_blocks()
        alike = [(block.a + at, block.b + at) for block in blocks for at in range(block.size)]
    found: list[int] = []
    for at, at_said in [*alike, (len(written), len(said))]:
        before = found[-1] + 1 if found else 0
        found += [min(before + index, at) for index in range(at_said - len(found))]
        found.append(at)
    return found[:-1]


def _start(text: str, at: int, runs: Sequence[tuple[int, int]]) -> int:
    """Where a run of letters begins, with the quotes and brackets that cling to it."""
    before = runs[at - 1][1] if at else 0
    space = _LAST_SPACE.search(text, before, runs[at][0])
    return runs[at][0] if space is None else space.end()
