"""Finds the exact places of a query in the words of a passage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from sttbatch.kinds.indexing.passages import OVERLAP_WORDS, Utterance
from sttbatch.kinds.indexing.query import Alternative, Phrase, Query
from sttbatch.kinds.indexing.words import Language, SearchedWord


class Mark(NamedTuple):
    """A found word: the number of its utterance in the window, and where it stands in the text."""

    utterance: int
    begin: int
    end: int


class Match(Struct, frozen=True):
    """Pieces `first` to `last` of a window, and the found words in them, in order."""

    first: int
    last: int
    marks: tuple[Mark, ...]


_Occurrence: TypeAlias = tuple[int, int]
"""The first and the last word of a phrase that was found, by their numbers in a window."""


class _Wanted(NamedTuple):
    """A word of a query in one language: a prefix, or else stems."""

    prefix: str
    stems: frozenset[str]

    def numbers(self, words: Sequence[SearchedWord]) -> list[int]:
        """Where it is among `words`."""
        if self.prefix:
            prefix = self.prefix
            return [at for at, word in enumerate(words) if word.exact.startswith(prefix)]
        stems = self.stems
        return [at for at, word in enumerate(words) if not stems.isdisjoint(word.stems)]


class Matcher:
    """Finds a query in texts of one language; not for several threads."""

    def __init__(self, query: Query, language: Language) -> None:
        self._query = query
        self._language = language
        self._wanted: dict[Phrase, tuple[_Wanted, ...]] = {}

    def matches(
        self, window: Sequence[Utterance], own: int, speaker: str | None = None
    ) -> list[Match]:
        """The matches that begin in the first `own` utterances of a window, in order.

        Of words of `speaker` alone, if one is named. A single phrase gives a match for each
        utterance where it begins, several give one where they are nearest to each other.
        """
        heard = [speaker is None or each.speaker == speaker for each in window]
        sequences = [
            self._language.sequence(each.text) if is_heard else []
            for each, is_heard in zip(window, heard, strict=True)
        ]
        words = list(chain.from_iterable(sequences))
        found: dict[int, Match] = {}
        # Where words stand is asked only when something was found.
        marks: list[Mark] = []
        for alternative in self._query.alternatives:
            occurrences = self._occurrences_of(words, alternative)
            if not occurrences:
                continue
            marks = marks or self._marks(window, heard)
            for match in _matches(marks, occurrences, own):
                earlier = found.get(match.first)
                found[match.first] = match if earlier is None else _joined(earlier, match)
        return [found[first] for first in sorted(found)]

    def reach(self, following: Sequence[Utterance]) -> int:
        """How many of the utterances after a passage its phrases need; 0: no more than it has."""
        missing, number = self._query.longest - 1, 0
        if missing > OVERLAP_WORDS:
            while missing > 0 and number < len(following):
                missing -= len(self._language.sequence(following[number].text))
                number += 1
        return number

    def _marks(self, window: Sequence[Utterance], heard: Sequence[bool]) -> list[Mark]:
        return [
            Mark(number, begin, end)
            for number, (each, is_heard) in enumerate(zip(window, heard, strict=True))
            if is_heard
            for begin, end, _ in self._language.words(each.text)
        ]

    def _occurrences_of(
        self, words: Sequence[SearchedWord], alternative: Alternative
    ) -> list[list[_Occurrence]]:
        """Those of each phrase; empty: it does not match."""
        every = []
        for phrase in dict.fromkeys(alternative.required):
            every.append(self._occurrences(words, phrase))
            if not every[-1]:
                return []
        if any(self._occurrences(words, phrase) for phrase in alternative.excluded):
            return []
        return every

    def _occurrences(self, words: Sequence[SearchedWord], phrase: Phrase) -> list[_Occurrence]:
        head, *others = self._wanted_words(phrase)
        begins = head.numbers(words)
        for distance, wanted in enumerate(others, 1):
            if not begins:
                return []
            following = {at - distance for at in wanted.numbers(words)}
            begins = [at for at in begins if at in following]
        return [(at, at + len(others)) for at in begins]

    def _wanted_words(self, phrase: Phrase) -> tuple[_Wanted, ...]:
        if phrase not in self._wanted:
            words = []
            for each in phrase.words:
                word = self._language.word(each.text)
                assert word is not None, "the parser leaves out what is no word"
                is_prefix = each.is_prefix
                words.append(_Wanted(word.exact if is_prefix else "", frozenset(word.stems)))
            self._wanted[phrase] = tuple(words)
        return self._wanted[phrase]


def _matches(
    marks: Sequence[Mark], occurrences: Sequence[Sequence[_Occurrence]], own: int
) -> list[Match]:
    ranges = [_nearest(occurrences)] if len(occurrences) > 1 else occurrences[0]
    every = sorted(chain.from_iterable(occurrences))
    matches: dict[int, Match] = {}
    for begin, end in ranges:
        first, last = marks[begin].utterance, marks[end].utterance
        if first >= own:
            # It is found with the next passage.
            break
        inside = [(a, b) for a, b in every if _within(marks, a, b, first, last)]
        numbers = sorted({number for a, b in inside for number in range(a, b + 1)})
        match = Match(first, last, tuple(marks[number] for number in numbers))
        matches[first] = _joined(matches[first], match) if first in matches else match
    return list(matches.values())


def _within(marks: Sequence[Mark], begin: int, end: int, first: int, last: int) -> bool:
    return marks[begin].utterance >= first and marks[end].utterance <= last


def _nearest(occurrences: Sequence[Sequence[_Occurrence]]) -> _Occurrence:
    """The shortest range of words that has an occurrence of each phrase, the first of those."""
    marked = sorted(
        (begin, end, phrase) for phrase, found in enumerate(occurrences) for begin, end in found
    )
    best: tuple[int, int, int] | None = None
    latest: dict[int, _Occurrence] = {}
    for begin, end, phrase in marked:
        latest[phrase] = begin, end
        if len(latest) == len(occurrences):
            start = min(a for a, _ in latest.values())
            stop = max(b for _, b in latest.values())
            if best is None or stop - start < best[0]:
                best = stop - start, start, stop
    assert best is not None, "every phrase occurs"
    return best[1], best[2]


def _joined(one: Match, other: Match) -> Match:
    marks = tuple(sorted({*one.marks, *other.marks}))
    return Match(one.first, max(one.last, other.last), marks)
