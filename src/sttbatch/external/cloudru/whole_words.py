"""Segments and words as servers write them: broken words made whole, and what segments lack.

Whisper's tokens begin with a space where a word begins. Servers that cut segments or words at
tokens break words in two, and the missing space is all that says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import NamedTuple

from msgspec import Struct, field

from sttbatch.core.scripts import is_unspaced, letters, running_text, tokens

_BLOCK = 2000
"""Words that are aligned at a time, so that the work grows with their number and no faster."""

_FAR_MORE = 2.0
_DIGIT = 8
"""Letters that a digit is spoken with, at most: "25" and "twenty-five" are one thing."""

_UNBROKEN = re.compile(r"\S+")


class Part(Struct):
    """A segment or a word as it came, with its surrounding space; None: it has no such time.

    `unlikely`: as `Segment` has it.
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    words: list[Part] = field(default_factory=list)
    unlikely: bool = False

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()


def join_words(words: Iterable[Part]) -> list[Part]:
    """Join words that were broken into tokens."""
    words = [word for word in words if not word.is_blank]
    # The first one's may be the answer's own.
    spaced = _tells_words_apart(word.text for word in words[1:])
    joined: list[Part] = []
    for word in words:
        if joined and _goes_on(joined[-1].text, word.text, spaced=spaced):
            last = joined[-1]
            last.text += word.text
            last.end_s = last.end_s if word.end_s is None else word.end_s
        else:
            joined.append(word)
    return joined


def join_segments(segments: Iterable[Part]) -> list[Part]:
    """Move the rest of a word that one segment begins and the next one ends to where it begins."""
    segments = [segment for segment in segments if not segment.is_blank]
    spaced = _tells_words_apart(segment.text for segment in segments)
    joined: list[Part] = []
    for segment in segments:
        if not joined or not _goes_on(joined[-1].text, segment.text, spaced=spaced):
            joined.append(segment)
            continue
        rest = _UNBROKEN.match(segment.text)
        assert rest is not None
        _move(segment, joined[-1], rest.group())
        if not segment.is_blank:
            joined.append(segment)
    return joined


def join_lines(text: str) -> str:
    """A text on one line; where servers write segments as lines, words are whole again."""
    lines = text.split("\n")
    spaced = _tells_words_apart(lines)
    parts = lines[:1]
    for before, line in pairwise(lines):
        parts += (line,) if _goes_on(before, line, spaced=spaced) else (" ", line)
    return " ".join("".join(parts).split())


def add_rest(text: str, segments: Sequence[Part]) -> list[Part]:
    """Add what `text` holds and no segment does, where it belongs, as segments without times.

    What is missing within a segment is added to its text.
    """
    if letters(text) == "".join(letters(segment.text) for segment in segments):
        return list(segments)
    whole = _words(text)
    held = [
        (word, index) for index, segment in enumerate(segments) for word in _words(segment.text)
    ]
    found = list(segments)
    unmatched = _unmatched([word.letters for word in whole], [word.letters for word, _ in held])
    for first, past, before, after in reversed(list(unmatched)):
        missing, heard = whole[first:past], [word for word, _ in held[before:after]]
        if _weight(missing) <= _FAR_MORE * _weight(heard):
            # Spelled differently.
            continue
        rest = text[missing[0].start : missing[-1].end].rstrip()
        last, index = held[after - 1] if after else (None, -1)
        if last is not None and after < len(held) and held[after][1] == index:
            segment = found[index]
            around = segment.text[: last.end].rstrip(), segment.text[last.end :].strip()
            segment.text = running_text([around[0], rest, around[1]])
        else:
            found.insert(index + 1, Part(rest))
    return found


def _tells_words_apart(texts: Iterable[str]) -> bool:
    """Whether words begin with a space here; where none does, each text is a word of its own."""
    return any(text[:1].isspace() for text in texts)


def _goes_on(before: str, text: str, *, spaced: bool) -> bool:
    """Whether `text` goes on with the last word of the one before it."""
    if not before or not text:
        return False
    last, first = before[-1], text[0]
    if last.isspace() or first.isspace():
        return False
    if unicodedata.category(first) in {"Mn", "Mc", "Me"}:
        return True
    if not spaced or is_unspaced(last) or is_unspaced(first):
        return False
    if last in ".!?…,;:":
        # That a space is missing is likelier.
        return not first.isalpha() and unicodedata.category(first) != "Pd"
    return True


def _move(segment: Part, before: Part, rest: str) -> None:
    """Move the first letters of a segment to the end of the one before it."""
    share = len(rest) / max(1, len(segment.text))
    border_s = segment.end_s
    if segment.start_s is not None and segment.end_s is not None:
        border_s = segment.start_s + share * (segment.end_s - segment.start_s)
    if segment.words and before.words and letters(rest).startswith(letters(segment.words[0].text)):
        word, last = segment.words.pop(0), before.words[-1]
        last.text += word.text.strip()
        last.end_s = word.end_s
        border_s = word.end_s
        before.words += segment.words if len(rest) == len(segment.text) else ()
    segment.text = segment.text[len(rest) :]
    before.text += rest
    before.end_s = segment.end_s if segment.is_blank else border_s
    segment.start_s = border_s


class _Word(NamedTuple):
    """A word of a text, or a character of a script without spaces, with what follows it."""

    letters: str
    start: int
    end: int


def _words(text: str) -> list[_Word]:
    # What has no letters is no word: each side may write dashes and notes of its own.
    found = [(held, start) for start, end in tokens(text) if (held := letters(text[start:end]))]
    ends = [*(start for _, start in found[1:]), len(text)]
    return [_Word(held, start, end) for (held, start), end in zip(found, ends, strict=False)]


def _unmatched(whole: Sequence[str], held: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Where `whole` has words without a counterpart: first and past, there and in `held`."""
    i = j = 0
    while i < len(whole):
        block, other = whole[i : i + _BLOCK], held[j : j + _BLOCK]
        matches = SequenceMatcher(None, block, other, autojunk=False).get_matching_blocks()
        is_last = i + _BLOCK >= len(whole) and j + _BLOCK >= len(held)
        if not is_last and len(matches) > 1 and matches[-2].a > _BLOCK / 2:
            # What follows the last match may have its counterpart in the next block.
            matches.pop()
        at_i = at_j = 0
        for match in matches:
            if match.a > at_i:
                yield i + at_i, i + match.a, j + at_j, j + match.b
            at_i, at_j = match.a + match.size, match.b + match.size
        i, j = i + at_i, j + at_j


def _weight(words: Iterable[_Word]) -> int:
    return sum(_DIGIT if each.isdigit() else 1 for word in words for each in word.letters)
