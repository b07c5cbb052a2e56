"""Searches by meaning: passages whose vectors are near that of the query, and by its words."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sttbatch.core.search import PASSAGE_LIMIT, IndexedTranscript
from sttbatch.kinds.indexing.fusion import fused
from sttbatch.kinds.indexing.matching import Matcher
from sttbatch.kinds.indexing.meaning import PASSAGES_JOINED, Index
from sttbatch.kinds.indexing.passages import Utterance, decoded_passage
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.searching import Hit, MarkedUtterance, Search
from sttbatch.kinds.indexing.vectors import Nearest
from sttbatch.kinds.indexing.words import Language

NEAREST = 1000
"""So many passages are ordered by their meaning."""

FREQUENT = 5_000
FREQUENT_SHARE = 0.1
"""A word in more passages, or in more of them all, does not say which one is meant."""

EXCERPT_WORDS = 40

_READ_BYTES = 3_000_000
"""Vectors that are read together; more would not stay in the processor's caches."""

_SHOWN_AT_ONCE = 20


@dataclass(slots=True, eq=False)
class MeaningSearch:
    """One search by meaning, of any words; raises StateError if a store cannot be used.

    Attributes:
        search: of its words, which also has the options.
        vector: of the query, of length 1.
    """

    index: Index
    search: Search
    vector: bytes
    _matchers: dict[str | None, Matcher] = field(default_factory=dict, init=False)

    async def hits(self) -> AsyncIterator[Hit]:
        """The best passages first; the newer one of two that are as good."""
        transcripts = await self.search.transcripts()
        sizes = await self.index.vector_bytes()
        total = sum(sizes.values()) // max(1, len(self.vector))
        wanted = {place: size for place, size in sizes.items() if place in transcripts}
        scores = fused(await self._cosines(wanted), await self._word_counts(transcripts, total))
        ordered = sorted(scores, key=lambda number: (-scores[number], number))
        for at in range(0, len(ordered), _SHOWN_AT_ONCE):
            numbers = ordered[at : at + _SHOWN_AT_ONCE]
            parts = [part for number in numbers for part in _parts(number)]
            data = await self.index.passages(parts)
            for number in numbers:
                # They may have been removed since they were found.
                present = [data[at] for at in _parts(number) if at in data]
                passage = [each for part in present for each in decoded_passage(part).utterances]
                transcript = transcripts[number // PASSAGE_LIMIT]
                hit = await self._hit(transcript, number, passage, scores[number])
                if hit is not None:
                    yield hit

    async def _cosines(self, sizes: Mapping[int, int]) -> dict[int, float]:
        """Of the passages with the nearest vectors; `sizes` are the bytes of each transcript's."""
        nearest = Nearest(self.vector, NEAREST)
        read = list[tuple[int, bytes]]()

        def compare() -> None:
            for place, vectors in read:
                nearest.add(place * PASSAGE_LIMIT, PASSAGES_JOINED, vectors)

        for places in _batches(sizes):
            # What was read is compared while the next ones are.
            reading = self.index.vectors(places)
            read, _ = await asyncio.gather(reading, asyncio.to_thread(compare))
        compare()
        return nearest.cosines()

    async def _word_counts(
        self, transcripts: Mapping[int, IndexedTranscript], total: int
    ) -> dict[int, int]:
        """How many words of the query are in passages that have some; `total`: of all vectors."""
        counts: Counter[int] = Counter()
        if not transcripts:
            return counts
        languages = [Language(name) for name in {each.language for each in transcripts.values()}]
        after = min(transcripts) * PASSAGE_LIMIT - 1
        limit = max(1, min(FREQUENT, int(FREQUENT_SHARE * total)))
        for alternative in self.search.query.alternatives:
            selection = Query((alternative,)).selection(languages)
            found = await self.index.select(selection, after, PASSAGES_JOINED * limit + 1)
            joined = {_joined_in(number) for number in found}
            if len(joined) <= limit:
                counts.update(joined)
        return {number: n for number, n in counts.items() if number // PASSAGE_LIMIT in transcripts}

    async def _hit(
        self,
        transcript: IndexedTranscript,
        number: int,
        passage: Sequence[Utterance],
        score: float,
    ) -> Hit | None:
        """None: the speaker who is searched for says nothing there."""
        speaker = self.search.options.speaker
        heard = [at for at, each in enumerate(passage) if speaker in {None, each.speaker}]
        if not heard:
            return None
        matches = self._matcher(transcript.language).matches(passage, len(passage), speaker)
        marks = {match.first: match.marks for match in matches}
        first = max(heard, key=lambda at: (len(marks.get(at, ())), -at))
        last = first
        words = len(passage[first].text.split())
        while last + 1 in heard and words < EXCERPT_WORDS:
            last += 1
            words += len(passage[last].text.split())
        before, after = await self.search.around(number, first, last, PASSAGES_JOINED)
        return Hit(
            transcript,
            await self.search.path(transcript.file_sha256),
            passage[first].start_s,
            tuple(
                MarkedUtterance(
                    passage[at], tuple((mark.begin, mark.end) for mark in marks.get(at, ()))
                )
                for at in range(first, last + 1)
            ),
            before,
            after,
            score,
            tuple(passage),
        )

    def _matcher(self, name: str | None) -> Matcher:
        if name not in self._matchers:
            self._matchers[name] = Matcher(self.search.query, Language(name))
        return self._matchers[name]


def _batches(sizes: Mapping[int, int]) -> Iterator[list[int]]:
    """Places whose vectors have `_READ_BYTES` together."""
    batch, size = list[int](), 0
    for place in sorted(sizes):
        batch.append(place)
        size += sizes[place]
        if size >= _READ_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _parts(number: int) -> range:
    return range(number, number + PASSAGES_JOINED)


def _joined_in(number: int) -> int:
    """The first of the passages that have one vector together with this one."""
    return number - number % PASSAGE_LIMIT % PASSAGES_JOINED
