"""MeaningIndexer: gives the indexed transcripts vectors, by which they are found by meaning."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, Protocol

from sttbatch.core.errors import ChunkError, UsageError
from sttbatch.core.language_models import Embeddings
from sttbatch.core.ports import SearchIndex, VectorIndex
from sttbatch.core.scripts import running_text
from sttbatch.core.search import EmbeddingModel, IndexedTranscript, VectorFacts
from sttbatch.kinds.indexing.indexer import Progress
from sttbatch.kinds.indexing.passages import decoded_passage
from sttbatch.kinds.indexing.vectors import normalized

PASSAGES_JOINED = 3
"""So many passages, of some 60 words each, have one vector."""

VECTORS_VERSION = f"1 {PASSAGES_JOINED}"
"""Vectors of another version are made anew."""


class Embedder(Protocol):
    """Makes the vectors of texts."""

    @property
    def model(self) -> EmbeddingModel: ...

    async def embed(self, transcript: IndexedTranscript, texts: Sequence[str]) -> Embeddings:
        """The embeddings of the texts of a transcript."""

    async def embed_query(self, text: str) -> Embeddings:
        """The embedding of what is searched for."""


class Index(SearchIndex, VectorIndex, Protocol):
    """An index by words and by meaning."""


class Failed(NamedTuple):
    """A transcript that got no vectors, and why."""

    transcript: IndexedTranscript
    reason: str


class MeaningIndexer:
    """Fills the vectors of an index; raises StateError if it cannot be used."""

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder

    async def missing(self, places: Collection[int] | None = None) -> dict[int, IndexedTranscript]:
        """The transcripts without vectors of this model, of all or at these places."""
        return await missing_vectors(self._index, self._embedder.model, places)

    async def fill(
        self,
        missing: Mapping[int, IndexedTranscript],
        at_once: int = 1,
        progress: Progress = lambda done, total: None,
    ) -> list[Failed]:
        """Make the vectors of these transcripts, `at_once` at a time, the newest first.

        Those of other models are removed once there is one of this model. Returns those that the
        model refused; any other error ends it, after what is in flight is stored. Raises UsageError
        if the model makes vectors of another length than the index has by it.
        """
        waiting, done, failed = iter(sorted(missing.items())), 0, list[Failed]()
        is_over = False

        async def work() -> None:
            nonlocal done, is_over
            for place, transcript in waiting:
                try:
                    await self._put(place, transcript)
                except ChunkError as error:
                    failed.append(Failed(transcript, str(error)))
                except BaseException:
                    is_over = True
                    raise
                done += 1
                progress(done, len(missing))
                if is_over:
                    return

        progress(0, len(missing))
        works = [work() for _ in range(at_once)]
        for ended in await asyncio.gather(*works, return_exceptions=True):
            if ended is not None:
                raise ended
        return failed

    async def _put(self, place: int, transcript: IndexedTranscript) -> None:
        data = await self._index.passages_at(place)
        texts = await asyncio.to_thread(joined_texts, data)
        made = await self._embedder.embed(transcript, texts) if texts else None
        facts = await self._index.vector_facts()
        if made is not None:
            model = self._embedder.model
            if facts is not None and (facts.model, facts.version) == (model, VECTORS_VERSION):
                check_vectors(facts, model, made.dimension)
            facts = VectorFacts(model, VECTORS_VERSION, made.dimension)
        if facts is not None:
            vectors = await asyncio.to_thread(normalized, made.vectors if made else ())
            await self._index.put_vectors(place, transcript.key, facts, vectors)


async def missing_vectors(
    index: Index, model: EmbeddingModel, places: Collection[int] | None = None
) -> dict[int, IndexedTranscript]:
    """The transcripts without vectors of a model, of all or at these places, by place."""
    facts, transcripts = await index.vector_facts(), await index.transcripts()
    if places is not None:
        transcripts = {place: each for place, each in transcripts.items() if place in places}
    if facts is None or (facts.model, facts.version) != (model, VECTORS_VERSION):
        return transcripts
    known = await index.vector_bytes()
    return {place: each for place, each in transcripts.items() if place not in known}


def check_vectors(facts: VectorFacts, model: EmbeddingModel, dimension: int | None = None) -> None:
    """Raises UsageError if vectors by `model` cannot be compared with those of an index."""
    has = f"the index has vectors of {facts.dimension} numbers by {facts.model}"
    if facts.model != model:
        raise UsageError(
            f"{has}, the query has one by {model}; `sttbatch index --semantic` rebuilds the "
            "index with that model"
        )
    if dimension not in {None, facts.dimension}:
        raise UsageError(
            f"{has}, which makes them of {dimension} now: `sttbatch cache invalidate --model "
            f"{model.name}` and `sttbatch index --rebuild --semantic` rebuild all of them, which "
            "is paid for again"
        )


def joined_texts(passages: Sequence[bytes]) -> list[str]:
    """The texts that have one vector each, of all passages of a transcript."""
    utterances = [decoded_passage(data).utterances for data in passages]
    return [
        running_text(
            " ".join(each.text.split())
            for each in chain.from_iterable(utterances[at : at + PASSAGES_JOINED])
        )
        for at in range(0, len(utterances), PASSAGES_JOINED)
    ]
