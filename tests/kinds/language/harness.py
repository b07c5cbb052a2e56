"""Questions over a real ledger to a real endpoint, for one claimed job."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import ANSWERS, open_caches, work_ledger
from sttbatch.core.errors import UsageError
from sttbatch.core.events import Event, Warned
from sttbatch.core.jobs import Claim, JobSpec
from sttbatch.core.language_models import ChatAnswer, Question, TokenPrices
from sttbatch.core.work import Budgets
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger
from sttbatch.database.workers import LedgerWorkers
from sttbatch.execution.pay_once import PayOnce, RunBudget
from sttbatch.external.cloudru.language_models import CloudRuLanguageModels
from sttbatch.kinds.language.asking import Asker, QuestionContext
from sttbatch.processing.scheduling.orchestrator import (
    Lane,
    ParallelOrchestrator,
    PrioritySemaphore,
)
from sttbatch.queue.job_queue import JobQueue, WorkClaims
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.worker import WorkerRegistry
from tests.cloudru import CloudRu
from tests.external.cloudru.lanes import lanes_to

PRICES = TokenPrices(prompt=100.0, generated=1000.0)
FILE_SHA256 = "f" * 64
SPEC = JobSpec("summary", 2, {"recording": "talk.mp3"})


@dataclass
class Conversation:
    """A claimed job, and what asks for it."""

    asker: Asker
    database: Database
    claim: Claim
    lanes: ParallelOrchestrator[str, str]
    events: list[Event] = field(default_factory=list)
    _asked: int = 0

    async def ask(self, question: Question) -> tuple[ChatAnswer, bool]:
        lane = Lane(self.lanes.lanes, (0, 0, 0, self._asked), self.lanes)
        context = QuestionContext("talk.mp3", FILE_SHA256, self.claim, lane, self._asked)
        self._asked += 1
        return await self.asker.ask(context, question)


@contextlib.asynccontextmanager
async def conversation(
    folder: Path,
    endpoint: CloudRu,
    *,
    max_cost: float | None = None,
    budgets: Budgets | None = None,
    prices: TokenPrices = PRICES,
    spec: JobSpec = SPEC,
    deadline_base_s: float = 60.0,
) -> AsyncIterator[Conversation]:
    """State in `folder`; to be entered once for each run."""
    events: list[Event] = []

    def warn(message: str) -> None:
        events.append(Warned("", message))

    settings = Settings(cache_dir=str(folder / "cache"))
    with contextlib.closing(open_ledger(folder)) as database:
        workers = WorkerRegistry(LedgerWorkers(database), FileLocks(folder))
        async with (
            open_caches(settings, database, warn) as caches,
            workers.registered() as worker,
            contextlib.aclosing(ResponseSpool(folder / ANSWERS, 4)) as spool,
            lanes_to(endpoint, deadline_base_s=deadline_base_s) as connected,
        ):
            queue = JobQueue(LedgerJobs(database), workers)
            job = await queue.jobs.enqueue(FILE_SHA256, 0, "r" * 64, spec)
            claim = await queue.claim(job.id, worker)
            if not isinstance(claim, Claim):
                raise UsageError(f"the job cannot be claimed: {claim}")
            lanes: ParallelOrchestrator[str, str] = ParallelOrchestrator(PrioritySemaphore(4), 1)
            ledger = work_ledger(database, caches.ledger, worker.id, budgets)
            asker = Asker(
                models=CloudRuLanguageModels(connected.endpoint),
                pay_once=PayOnce(
                    cache=caches.levels,
                    claims=WorkClaims(ledger, workers),
                    spool=spool,
                    spans=SqlChunkIndex(database, caches.ledger),
                    budget=RunBudget(max_cost),
                    closed=lambda: lanes.closed,
                    stopped=lanes.stopped,
                    force=False,
                ),
                kind="summary",
                origin="https://127.0.0.1",
                prices=prices,
                emit=events.append,
            )
            try:
                yield Conversation(asker, database, claim, lanes, events)
            finally:
                await queue.jobs.release(claim)
