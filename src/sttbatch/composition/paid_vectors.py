"""Opens what makes vectors by a model of the endpoint, which bills them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from functools import partial

from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.composition.credentials import HOW_TO, load_key
from sttbatch.composition.effective_options import concurrency_of
from sttbatch.composition.engines import open_engines
from sttbatch.composition.prices import check_limits
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import (
    ANSWERS,
    LedgerStores,
    data_folder,
    open_caches,
    work_ledger,
    worker_registry,
)
from sttbatch.core.addresses import origins
from sttbatch.core.errors import StateError
from sttbatch.core.events import Event, Warned
from sttbatch.core.jobs import EMBEDDING, Claim, JobSpec, Worker
from sttbatch.core.language_models import TOKENS, LanguageModels, TokenPrices
from sttbatch.core.ports import ResultStore
from sttbatch.core.search import EmbeddingModel
from sttbatch.core.work import Budgets
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import stop_waiting
from sttbatch.execution.pay_once import PayOnce, RunBudget
from sttbatch.kinds.indexing.paid_vectors import PaidEmbedder, StoredVectors
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator, PrioritySemaphore
from sttbatch.queue.job_queue import JobQueue, WorkClaims


def stored_vectors(settings: Settings, results: ResultStore) -> StoredVectors:
    """What was paid for, by the model of the settings."""
    model = EmbeddingModel(settings.embedding_model or "", origins(settings.base_url)[0])
    return StoredVectors(model, results)


@contextlib.asynccontextmanager
async def paid_embedder(
    settings: Settings, stores: LedgerStores, max_cost: float | None, warn: Callable[[str], None]
) -> AsyncIterator[PaidEmbedder]:
    """The embedder of one run; raises UsageError without a key."""
    database, folder, key = stores.database, data_folder(settings), load_key(settings, HOW_TO)
    concurrency = concurrency_of(settings).value
    lanes: ParallelOrchestrator[str, str] = ParallelOrchestrator(PrioritySemaphore(concurrency), 1)
    workers = worker_registry(settings, database)

    def emit(event: Event) -> None:
        if isinstance(event, Warned):
            warn(event.message)

    def lost(error: StateError) -> None:
        warn(str(error))
        lanes.stop()
        stop_waiting(settings.database_url)

    async with (
        open_caches(settings, database, warn) as caches,
        workers.registered(lost) as worker,
        open_engines(settings, key, emit, folder) as engines,
        contextlib.aclosing(ResponseSpool(folder / ANSWERS, concurrency)) as spool,
    ):
        caches.l2.start()
        budgets = Budgets(settings.budget_per_day, settings.budget_per_month)
        claims = WorkClaims(work_ledger(database, caches.ledger, worker.id, budgets), workers)
        await spool.recover_into(claims.ledger)
        pay_once = PayOnce(
            cache=caches.levels,
            claims=claims,
            spool=spool,
            spans=SqlChunkIndex(database, caches.ledger),
            budget=RunBudget(max_cost),
            closed=lambda: lanes.closed,
            stopped=lanes.stopped,
            force=False,
        )
        queue = JobQueue(LedgerJobs(database), workers)
        yield PaidEmbedder(
            engines.models,
            pay_once,
            stored_vectors(settings, caches.ledger),
            lanes,
            partial(_prices_for, settings, engines.models, max_cost),
            partial(_claimed, queue, worker, warn),
        )


async def prices_of(settings: Settings, models: LanguageModels) -> TokenPrices | None:
    """The price of the embedding model; None: neither settings nor the endpoint name it."""
    if settings.embedding_price is not None:
        return TokenPrices(settings.embedding_price)
    return (await models.facts(settings.embedding_model or "")).prices


async def _prices_for(
    settings: Settings, models: LanguageModels, max_cost: float | None
) -> TokenPrices:
    """Raises UsageError if a limit could not be held."""
    prices = await prices_of(settings, models)
    check_limits(settings.embedding_model or "", prices, settings, max_cost, "embedding_price")
    return prices or TokenPrices()


@contextlib.asynccontextmanager
async def _claimed(
    queue: JobQueue, worker: Worker, warn: Callable[[str], None], title: str, content: str
) -> AsyncIterator[Claim]:
    """The claim on a job that is forgotten afterwards, once no other process has one."""
    spec = JobSpec(EMBEDDING, 2, {"recording": title, "unit": TOKENS})
    request = hashlib.sha256(EMBEDDING.encode()).hexdigest()
    while True:
        job = await queue.jobs.enqueue(content, 0, request, spec, revive=True)
        taken = await queue.claim(job.id, worker, revive_failed=True)
        if isinstance(taken, Claim):
            break
        warn(f"waiting for another process that makes vectors for {title}")
        async for _ in queue.wait_until_free([job.id]):
            pass
    try:
        yield taken
    finally:
        await queue.workers.end_claim(lambda: queue.jobs.release(taken))
        await queue.jobs.forget([job.id])
