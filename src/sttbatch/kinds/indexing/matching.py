"""Finds the exact places of a query in the words of a passage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from sttbatch.kinds.indexing.passages import Utterance
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


class _Spoken(NamedTuple):
    mark: Mark
    word: SearchedWord


_Occurrence: TypeAlias = tuple[int, int]
"""The first and the last word of a phrase that was found, by their numbers in a window."""


class _Wanted(NamedTuple):
    """A word of a query in one language: a prefix, or else stems."""

    prefix: str
    stems: frozenset[str]

    def is_in(self, word: SearchedWord) -> bool:
        if self.prefix:
            return word.exact.startswith(self.prefix)
        return not self.stems.isdisjoint(word.stems)


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
        spoken = [
            _Spoken(Mark(number, begin, end), word)
            for number, utterance in enumerate(window)
            if speaker is None or utterance.speaker == speaker
            for begin, end, word in self._language.words(utterance.text)
        ]
        found: dict[int, Match] = {}
        for alternative in self._query.alternatives:
            for match in self._of_alternative(spoken, alternative, own):
                earlier = found.get(match.first)
                found[match.first] = match if earlier is None else _joined(earlier, match)
        return [found[first] for first in sorted(found)]

    def _of_alternative(
        self, spoken: Sequence[_Spoken], alternative: Alternative, own: int
    ) -> list[Match]:
        occurrences = []
        for phrase in dict.fromkeys(alternative.required):
            occurrences.append(self._occurrences(spoken, phrase))
            if not occurrences[-1]:
                return []
        if any(self._occurrences(spoken, phrase) for phrase in alternative.excluded):
            return []
        ranges = [_nearest(occurrences)] if len(occurrences) > 1 else occurrences[0]
        every = sorted(chain.from_iterable(occurrences))
        matches: dict[int, Match] = {}
        for begin, end in ranges:
            first, last = spoken[begin].mark.utterance, spoken[end].mark.utterance
            if first >= own:
                # It is found with the next passage.
                break
            inside = [(a, b) for a, b in every if _within(spoken, a, b, first, last)]
            numbers = sorted({number for a, b in inside for number in range(a, b + 1)})
            match = Match(first, last, tuple(spoken[number].mark for number in numbers))
            matches[first] = _joined(matches[first], match) if first in matches else match
        return list(matches.values())

    def _occurrences(self, spoken: Sequence[_Spoken], phrase: Phrase) -> list[_Occurrence]:
        wanted = self._wanted_words(phrase)
        head, length = wanted[0], len(wanted)
        return [
            (at, at + length - 1)
            for at in range(len(spoken) - length + 1)
            if head.is_in(spoken[at].word)
            and all(wanted[after].is_in(spoken[at + after].word) for after in range(1, length))
        ]

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


def _within(spoken: Sequence[_Spoken], begin: int, end: int, first: int, last: int) -> bool:
    return spoken[begin].mark.utterance >= first and spoken[end].mark.utterance <= last


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
