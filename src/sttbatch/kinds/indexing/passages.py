"""Passages: a transcript's segments in groups of some words, packed for the index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import msgspec
from msgspec import Struct

from sttbatch.core.models import Segment, Word
from sttbatch.core.search import PASSAGE_LIMIT, Passage
from sttbatch.kinds.indexing.words import Language, SearchedWord, found_words

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


def passages_of(segments: Sequence[Segment], language: Language) -> list[Passage]:
    """The passages of a transcript, in the order of time."""
    ordered = sorted(segments, key=lambda segment: segment.start_s)
    utterances = [utterance for segment in ordered for utterance in _utterances(segment)]
    words = [[word for *_, word in language.words(utterance.text)] for utterance in utterances]
    return list(islice(_grouped(utterances, words), PASSAGE_LIMIT))


def _grouped(
    utterances: Sequence[Utterance], words: Sequence[Sequence[SearchedWord]]
) -> Iterator[Passage]:
    begin = 0
    while begin < len(utterances):
        end = _after(words, begin, PASSAGE_WORDS)
        overlap = _after(words, end, OVERLAP_WORDS) - end
        found = dict.fromkeys(
            text
            for utterance in words[begin : end + overlap]
            for word in utterance
            for text in (word.exact, *word.stems)
        )
        stored = StoredPassage(tuple(utterances[begin:end]), overlap)
        yield Passage(tuple(found), _encoder.encode(stored))
        begin = end


def _after(words: Sequence[Sequence[SearchedWord]], begin: int, limit: int) -> int:
    """The end of the fewest utterances from `begin` on that have `limit` words together."""
    count, end = 0, begin
    while end < len(words) and count < limit:
        count += len(words[end])
        end += 1
    return end


def _utterances(segment: Segment) -> Iterator[Utterance]:
    # Half a surrogate pair cannot be stored, and PostgreSQL takes no NUL.
    text = segment.text.encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    word_times = _word_times(text, segment.words, segment.start_s)
    spans = list(found_words(text)) if len(text) > PASSAGE_WORDS else ()
    if len(spans) <= PASSAGE_WORDS:
        if text.strip():
            yield _utterance(segment, text, 0, len(text), word_times)
        return
    cuts = [0, *(begin for begin, _ in spans[PASSAGE_WORDS::PASSAGE_WORDS]), len(text)]
    for begin, end in pairwise(cuts):
        yield _utterance(segment, text, begin, end, word_times)


def _utterance(
    segment: Segment, text: str, begin: int, end: int, word_times: Sequence[tuple[int, int]]
) -> Utterance:
    own = [(at, hundredths) for at, hundredths in word_times if begin <= at < end]
    # Without times of words, a part begins when its segment does.
    first = own[0][1] if own and begin else 0
    flat = (number for at, hundredths in own for number in (at - begin, hundredths - first))
    part = text[begin:end]
    stripped = part.rstrip()
    start_s = segment.start_s + first / _DECIMALS
    return Utterance(stripped, start_s, segment.end_s, segment.speaker, tuple(flat))


def _word_times(text: str, words: Sequence[Word], start_s: float) -> list[tuple[int, int]]:
    """Where the words stand in the text that do, and hundredths of a second until they begin."""
    word_times: list[tuple[int, int]] = []
    after = 0
    for word in words:
        at = text.find(word.text, after)
        if at >= 0 and word.text:
            word_times.append((at, max(0, round((word.start_s - start_s) * _DECIMALS))))
            after = at + len(word.text)
    return word_times
