"""Search by meaning: which model makes vectors, and when they are made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.composition.effective_options import concurrency_of
from sttbatch.composition.engines import open_engines
from sttbatch.composition.paid_vectors import paid_embedder, prices_of, stored_vectors
from sttbatch.composition.searching import (
    indexer_of,
    opened_index,
    spellings_of,
    transcript_source,
)
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, data_folder, opened_stores
from sttbatch.core.errors import UsageError
from sttbatch.core.language_models import Embeddings, TokenCount, TokenPrices
from sttbatch.core.search import EmbeddingModel, IndexedTranscript
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.kinds.indexing.indexer import Progress
from sttbatch.kinds.indexing.meaning import (
    Embedder,
    Failed,
    MeaningIndexer,
    check_vectors,
    joined_texts,
    missing_vectors,
)
from sttbatch.kinds.indexing.meaning_search import MeaningSearch
from sttbatch.kinds.indexing.paid_vectors import PaidEmbedder, StoredVectors
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions
from sttbatch.kinds.indexing.vectors import normalized
from sttbatch.kinds.language.token_estimates import estimated_tokens

TRIFLE = 1.0
"""In the currency of prices: a search may cost so much without being told to."""


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


class VectorPlan(NamedTuple):
    """What has to be made, and what is paid for it.

    Attributes:
        texts: passages without vectors that were not paid for before; all, if it costs nothing.
        tokens: about how many these have; 0: it costs nothing.
        cost: in the currency of the price setting; None: the price is unknown.
    """

    model: EmbeddingModel
    texts: int
    tokens: int
    cost: float | None


class Filled(NamedTuple):
    """What was made.

    Attributes:
        filled: transcripts that got vectors now.
        failed: those that the model refused.
        cost: of it, as far as it is known.
    """

    model: EmbeddingModel
    filled: int
    failed: Sequence[Failed]
    cost: float


class MeaningRun(Struct, frozen=True):
    """Makes vectors and searches by them, by the model of `settings`.

    Args:
        max_cost: sends nothing beyond it.
        warn: is told what people should know.
        progress: of each transcript.
        on_begun: is told how to end it early, after what is in flight is stored.
    """

    settings: Settings
    max_cost: float | None = None
    warn: Callable[[str], None] = lambda _: None
    progress: Progress = lambda done, total: None
    on_begun: Callable[[Callable[[], None]], None] = lambda _: None

    async def plan(self) -> VectorPlan:
        """What `fill` would send; nothing is sent."""
        settings = self.settings
        with opened_stores(settings) as stores, opened_index(settings) as index:
            if not settings.embedding_model:
                return await _plan(index, LocalEmbedder(), None)
            async with open_engines(settings, None, lambda _: None, data_folder(settings)) as ends:
                prices = await prices_of(settings, ends.models)
            return await _plan(index, stored_vectors(settings, stores.results), prices)

    async def fill(self) -> Filled:
        """Give every indexed transcript vectors."""
        async with self._opened() as (_, index, embedder):
            return await self._fill(index, embedder)

    async def search(
        self, text: str, words: Query, options: SearchOptions, paths: Sequence[str] = ()
    ) -> AsyncGenerator[Hit, None]:
        """The hits of a text and its words, after transcripts and vectors that miss were added.

        Of transcripts that are not searched nothing is sent. `paths` as of `searching.search`.
        Raises UsageError as that, if the index has vectors by another model, or if vectors would
        cost more than a trifle and there is no `max_cost`.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        async with self._opened() as (stores, index, embedder):
            source = transcript_source(self.settings, stores.database)
            if paths:
                options = replace(options, below=await spellings_of(paths, source))
            await indexer_of(stores, index).update(self.progress)
            facts = await index.vector_facts()
            if facts is not None:
                check_vectors(facts, embedder.model)
            search = Search(index, source, words, options)
            places = (await search.transcripts()).keys()
            if isinstance(embedder, PaidEmbedder):
                await self._announce(index, embedder, places)
            await self._fill(index, embedder, places)
            facts = await index.vector_facts()
            if facts is None:
                return
            query = await embedder.embed_query(text)
            check_vectors(facts, embedder.model, query.dimension)
            async for hit in MeaningSearch(index, search, normalized(query.vectors)).hits():
                yield hit

    async def _announce(
        self, index: SqlSearchIndex, embedder: PaidEmbedder, places: Collection[int]
    ) -> None:
        """Say what is sent before the search, or refuse to."""
        if not await MeaningIndexer(index, embedder).missing(places):
            return
        prices = await prices_of(self.settings, embedder.models)
        plan = await _plan(index, embedder.stored, prices, places)
        if not plan.texts:
            return
        price = "price unknown" if plan.cost is None else f"about {plan.cost:.2f} RUB"
        what = (
            f"passages without vectors by {plan.model}: {plan.texts}, {plan.tokens} tokens, {price}"
        )
        if self.max_cost is None and (plan.cost is None or plan.cost > TRIFLE):
            raise UsageError(
                f"{what}; `sttbatch index --semantic` makes them, or a search with --max-cost"
            )
        self.warn(f"{what}; they are made now")

    async def _fill(
        self, index: SqlSearchIndex, embedder: Embedder, places: Collection[int] | None = None
    ) -> Filled:
        indexer = MeaningIndexer(index, embedder)
        missing = await indexer.missing(places)
        if not missing or not isinstance(embedder, PaidEmbedder):
            failed = await indexer.fill(missing, progress=self.progress)
            return Filled(embedder.model, len(missing) - len(failed), failed, 0.0)
        async with embedder.working():
            # Another process may have made some meanwhile.
            missing = await indexer.missing(places)
            at_once = concurrency_of(self.settings).value
            failed = await indexer.fill(missing, at_once, self.progress)
        for each in failed:
            self.warn(f"{each.transcript.key}: {each.reason}")
        spent = embedder.pay_once.budget.spent
        return Filled(embedder.model, len(missing) - len(failed), failed, spent)

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[LedgerStores, SqlSearchIndex, Embedder]]:
        settings = self.settings
        with opened_stores(settings) as stores, opened_index(settings) as index:
            if not settings.embedding_model:
                yield stores, index, LocalEmbedder()
                return
            async with paid_embedder(settings, stores, self.max_cost, self.warn) as embedder:
                self.on_begun(embedder.stop)
                yield stores, index, embedder


async def _plan(
    index: SqlSearchIndex,
    embedder: LocalEmbedder | StoredVectors,
    prices: TokenPrices | None,
    places: Collection[int] | None = None,
) -> VectorPlan:
    count = tokens = 0
    for place, transcript in (await missing_vectors(index, embedder.model, places)).items():
        texts = joined_texts(await index.passages_at(place))
        if isinstance(embedder, StoredVectors):
            texts = await embedder.unpaid(transcript.file_sha256, texts)
            tokens += sum(map(estimated_tokens, texts))
        count += len(texts)
    if not tokens:
        return VectorPlan(embedder.model, count, 0, 0.0)
    cost = prices.cost(TokenCount(tokens)) if prices is not None else None
    return VectorPlan(embedder.model, count, tokens, cost)
