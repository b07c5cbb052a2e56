"""Search by meaning: which model makes vectors, and when they are made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from sttbatch.composition.searching import indexer_of, opened_index, transcript_source
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, opened_stores
from sttbatch.core.language_models import Embeddings
from sttbatch.core.search import EmbeddingModel, IndexedTranscript
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.kinds.indexing.indexer import Progress
from sttbatch.kinds.indexing.meaning import Embedder, Failed, MeaningIndexer, check_vectors
from sttbatch.kinds.indexing.meaning_search import MeaningSearch
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions
from sttbatch.kinds.indexing.vectors import normalized


class LocalEmbedder:
    """An `Embedder` that works offline."""

    def __init__(self) -> None:
        from sttbatch.external.local.sentence_encoder import MODEL, SentenceEncoder

        self._encoder = SentenceEncoder()
        self.model = EmbeddingModel(MODEL, self._encoder.origin)

    async def embed(self, transcript: IndexedTranscript, texts: Sequence[str]) -> Embeddings:
        del transcript
        return await asyncio.to_thread(self._encoder.embeddings, texts)

    async def embed_query(self, text: str) -> Embeddings:
        return await asyncio.to_thread(self._encoder.embeddings, [text])


class Filled(NamedTuple):
    """What has vectors after they were made.

    Attributes:
        filled: transcripts that got vectors now.
        failed: those that the model refused.
    """

    model: EmbeddingModel
    filled: int
    failed: Sequence[Failed]


async def fill_vectors(settings: Settings, progress: Progress) -> Filled:
    """Give every indexed transcript vectors by the model of the settings."""
    async with _opened(settings) as (_, index, embedder):
        indexer = MeaningIndexer(index, embedder)
        missing = await indexer.missing()
        failed = await indexer.fill(missing, progress=progress)
        return Filled(embedder.model, len(missing) - len(failed), failed)


async def search_by_meaning(
    settings: Settings,
    text: str,
    words: Query,
    options: SearchOptions,
    progress: Progress = lambda done, total: None,
) -> AsyncIterator[Hit]:
    """The hits of a text and its words, after transcripts and vectors that are missing were added.

    Raises UsageError if the index has vectors by another model.
    """
    async with _opened(settings) as (stores, index, embedder):
        await indexer_of(stores, index).update(progress)
        facts = await index.vector_facts()
        if facts is not None:
            check_vectors(facts, embedder.model)
        indexer = MeaningIndexer(index, embedder)
        await indexer.fill(await indexer.missing(), progress=progress)
        facts = await index.vector_facts()
        if facts is None:
            return
        query = await embedder.embed_query(text)
        check_vectors(facts, embedder.model, query.dimension)
        source = transcript_source(settings, stores.database)
        search = Search(index, source, words, options)
        async for hit in MeaningSearch(index, search, normalized(query.vectors)).hits():
            yield hit


@contextlib.asynccontextmanager
async def _opened(
    settings: Settings,
) -> AsyncIterator[tuple[LedgerStores, SqlSearchIndex, Embedder]]:
    embedder = LocalEmbedder()
    with opened_stores(settings) as stores, opened_index(settings) as index:
        yield stores, index, embedder
