"""Passages: a transcript's segments in groups of some words, packed for the index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sttbatch.core.models import Segment, Word
from sttbatch.core.search import PASSAGE_LIMIT, Passage
from sttbatch.kinds.indexing.words import IndexedText, Language, pairs

PASSAGE_WORDS = 60
OVERLAP_WORDS = 20
"""A passage is found by so many words of the following ones too, for phrases across its end."""

_DECIMALS = 100


class Utterance(Struct, frozen=True, array_like=True):
    """A segment, or a part of a long one; times are seconds.

    Attributes:
        word_times: alternately offsets in the text, and the hundredths of a second from `start_s`
            to when the word there begins; empty: times of words are unknown.
    """

    text: str
    start_s: float
    end_s: float
    speaker: str | None = None
    word_times: tuple[int, ...] = ()

    def second_at(self, offset: int) -> float:
        """When the word at `offset` begins, or else the utterance."""
        latest = 0
        for at, hundredths in zip(self.word_times[::2], self.word_times[1::2], strict=True):
            if at > offset:
                break
            latest = hundredths
        return self.start_s + latest / _DECIMALS


class StoredPassage(Struct, frozen=True, array_like=True):
    """The utterances that begin in a passage, and how many of the next it is found by too."""

    utterances: tuple[Utterance, ...]
    overlap: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredPassage)


def decoded_passage(data: bytes) -> StoredPassage:
    return _decoder.decode(data)


class _Indexed(NamedTuple):
    """An utterance, and what it is found by."""

    utterance: Utterance
    text: IndexedText


def passages_of(segments: Sequence[Segment], language: Language) -> list[Passage]:
    """The passages of a transcript, in the order of time."""
    ordered = sorted(segments, key=lambda segment: segment.start_s)
    utterances = (each for segment in ordered for each in _utterances(segment, language))
    return list(islice(_grouped(utterances), PASSAGE_LIMIT))


def _grouped(utterances: Iterator[_Indexed]) -> Iterator[Passage]:
    # Those of one passage and of its overlap: what they are found by takes a hundred times as much
    # memory as they do.
    held: list[_Indexed] = []
    while True:
        end = _held(held, utterances, 0, PASSAGE_WORDS)
        if not end:
            return
        last = _held(held, utterances, end, OVERLAP_WORDS)
        words = _words([each.text for each in held[:last]])
        own = tuple(each.utterance for each in held[:end])
        yield Passage(" ".join(words), _encoder.encode(StoredPassage(own, last - end)))
        del held[:end]


def _words(texts: Sequence[IndexedText]) -> set[str]:
    words = set[str]().union(*(each.words for each in texts))
    for before, after in pairwise([each for each in texts if each.number]):
        words.update(pairs(before.last, after.first))
    return words


def _held(held: list[_Indexed], further: Iterator[_Indexed], begin: int, limit: int) -> int:
    """The end of the fewest utterances from `begin` on that have `limit` words together.

    `held` gets as many further ones as that needs.
    """
    count, end = 0, begin
    while count < limit:
        if end == len(held):
            held.extend(islice(further, 1))
        if end == len(held):
            break
        count += held[end].text.number
        end += 1
    return end


def _utterances(segment: Segment, language: Language) -> Iterator[_Indexed]:
    # Half a surrogate pair cannot be stored, and PostgreSQL takes no NUL.
    text = segment.text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    times = _word_times(text, segment.words, segment.start_s)
    indexed = language.indexed(text)
    if indexed.number <= PASSAGE_WORDS:
        if text.strip():
            start_s, end_s = segment.start_s, segment.end_s
            whole = Utterance(text.rstrip(), start_s, end_s, segment.speaker, tuple(times))
            yield _Indexed(whole, indexed)
        return
    begins = [begin for begin, *_ in language.words(text)][PASSAGE_WORDS::PASSAGE_WORDS]
    for begin, end in pairwise([0, *begins, len(text)]):
        part = _part(segment, text, begin, end, times)
        yield _Indexed(part, language.indexed(part.text))


def _part(segment: Segment, text: str, begin: int, end: int, times: Sequence[int]) -> Utterance:
    pairs = zip(times[::2], times[1::2], strict=True)
    own = [(at, hundredths) for at, hundredths in pairs if begin <= at < end]
    # Without times of words, a part begins when its segment does.
    first = own[0][1] if own and begin else 0
    flat = (number for at, hundredths in own for number in (at - begin, hundredths - first))
    start_s = segment.start_s + first / _DECIMALS
    return Utterance(text[begin:end].rstrip(), start_s, segment.end_s, segment.speaker, tuple(flat))


def _word_times(text: str, words: Sequence[Word], start_s: float) -> list[int]:
    """The `word_times` of a text, of those words that it has."""
    times: list[int] = []
    after = 0
    for word in words:
        at = text.find(word.text, after)
        if at >= 0 and word.text:
            times += (at, max(0, int((word.start_s - start_s) * _DECIMALS + 0.5)))
            after = at + len(word.text)
    return times
