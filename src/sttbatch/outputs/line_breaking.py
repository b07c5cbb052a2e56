"""Breaks text into lines at the positions that read best."""
# ruff: noqa: RUF001 - punctuation and words of other scripts

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from functools import cache
from itertools import pairwise

from msgspec import Struct

from sttbatch.core.scripts import is_unspaced
from sttbatch.outputs.unicode_text import clusters, columns, unspaced_words


class Break(IntEnum):
    """Positions for a line break, the best first."""

    SENTENCE = 0
    CLAUSE = 1
    CONJUNCTION = 2
    SPACE = 3
    INSIDE = 4


PENALTY = (0.0, 3.0, 6.0, 10.0, 30.0)
"""The cost of each `Break`; a line that is half a width too short or long costs 10."""

_IMBALANCE = 40.0
_QUOTES = "\"'”’»›)]}」』】》"
_SENTENCE_ENDS = frozenset(".!?…。！？؟।։")
_CLAUSE_ENDS = frozenset(",;:—–、，；：،؛")
_CONJUNCTION_WORDS = (
    "and or but nor because that which who when where while if so then than as "
    "и а но или что чтобы потому когда если как который которая которое которые где пока либо "
    "und oder aber weil dass wenn et ou mais que quand si y pero porque cuando e ma perché"
)
_CONJUNCTIONS = frozenset(_CONJUNCTION_WORDS.split())


class Atom(Struct, frozen=True):
    """A piece of text without line breaks.

    Attributes:
        width: in columns.
        spaced: a space precedes it.
        after: the quality of a break at its end.
    """

    text: str
    width: int
    spaced: bool
    after: Break


def atoms(text: str, width: int) -> list[Atom]:
    """Split a text (as `plain` returns it); words wider than `width` columns are cut."""
    pieces: list[tuple[str, bool]] = []
    for token in text.split(" "):
        parts = [part for word in unspaced_words(token) for part in _cut(word, width)]
        pieces.extend((part, number == 0) for number, part in enumerate(parts))
    sequence = [
        Atom(piece, columns(piece), spaced, _break_between(piece, following, spaced=parted))
        for (piece, spaced), (following, parted) in pairwise(pieces)
    ]
    if pieces:
        last, spaced = pieces[-1]
        sequence.append(Atom(last, columns(last), spaced, Break.SENTENCE))
    return sequence


def lines(sequence: Sequence[Atom], width: int) -> tuple[str, ...]:
    """`sequence` on as few lines as possible, of similar length, broken where it reads best."""
    # The minimum number of lines.
    count, used = 0, width
    for atom in sequence:
        used += atom.spaced + atom.width
        if used > width or count == 0:
            count, used = count + 1, atom.width
    if count <= 1:
        return (_text(sequence),)
    offsets = [0]
    for atom in sequence:
        offsets.append(offsets[-1] + atom.spaced + atom.width)
    ideal = offsets[-1] / count
    size = len(sequence)

    @cache
    def best(start: int, left: int) -> tuple[float, tuple[int, ...]]:
        """The minimum cost of the last `left` lines from `start` on, and their ends."""
        cheapest: tuple[float, tuple[int, ...]] = (float("inf"), ())
        for end in range(start + 1, size - left + 2):
            used = offsets[end] - offsets[start] - sequence[start].spaced
            if used > width and end > start + 1:
                break
            if left == 1 and end < size:
                continue
            cost = _IMBALANCE * ((used - ideal) / width) ** 2
            rest: tuple[float, tuple[int, ...]] = (0.0, ())
            if left > 1:
                cost += PENALTY[sequence[end - 1].after]
                rest = best(end, left - 1)
            cheapest = min(cheapest, (cost + rest[0], (end, *rest[1])))
        return cheapest

    ends = best(0, count)[1]
    return tuple(_text(sequence[start:end]) for start, end in pairwise((0, *ends)))


def _text(sequence: Sequence[Atom]) -> str:
    return "".join(" " * (atom.spaced and number > 0) + atom.text
                   for number, atom in enumerate(sequence))  # fmt: skip


def _cut(word: str, width: int) -> list[str]:
    if columns(word) <= width:
        return [word]
    pieces: list[str] = []
    used = width
    for cluster in clusters(word):
        # A cluster of accents that is wider than a line is split.
        for piece in [cluster] if columns(cluster) <= width else cluster:
            used += columns(piece)
            if used > width:
                pieces.append(piece)
                used = columns(piece)
            else:
                pieces[-1] += piece
    return pieces


def _break_between(text: str, following: str, *, spaced: bool) -> Break:
    last = (text.rstrip(_QUOTES) or text)[-1]
    ends_a_word = spaced or is_unspaced(last)
    if not any(character.isalnum() for character in following):
        # A dash or a single mark belongs to the previous line.
        return Break.INSIDE
    if ends_a_word and last in _SENTENCE_ENDS:
        return Break.SENTENCE
    if ends_a_word and (last in _CLAUSE_ENDS or text == "-"):
        return Break.CLAUSE
    if spaced and following.strip(_QUOTES + ",.").casefold() in _CONJUNCTIONS:
        return Break.CONJUNCTION
    return Break.SPACE if spaced else Break.INSIDE
