"""A queue over a ledger in a folder, and other processes at the same one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sttbatch.composition.stores import work_ledger
from sttbatch.core.engine import APIRequest
from sttbatch.core.jobs import TRANSCRIPTION, Claim, Job, JobSpec, Worker
from sttbatch.core.ports import JobStore, Liveness
from sttbatch.core.work import (
    AUDIO_SECONDS,
    Budgets,
    Granted,
    RequestRecord,
    Usage,
    Verdict,
    WorkItem,
)
from sttbatch.database.database import Database
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.results import SqlResultStore
from sttbatch.database.work_ledger import SqlWorkLedger
from sttbatch.database.workers import LedgerWorkers
from sttbatch.queue.job_queue import JobQueue, WorkClaims
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.worker import WorkerRegistry
from tests.database.backends import BACKENDS

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
PROCESS_TIMEOUT_S = 60


class Clock:
    """Stands still until it is set; seconds since the epoch."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Ledger:
    """A ledger and how it is opened; `folder` is the data folder of its processes."""

    folder: Path
    backend: str = "sqlite"

    def __str__(self) -> str:
        return f"{self.backend}:{self.folder}"

    @staticmethod
    def named(text: str) -> Ledger:
        backend, _, folder = text.partition(":")
        return Ledger(Path(folder), backend)

    def open(self, clock: Callable[[], float]) -> Database:
        return BACKENDS[self.backend].open_ledger(self.folder, clock)

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What a reader with the database's own tools would see."""
        return BACKENDS[self.backend].rows(self.folder, query, values)


@dataclass(frozen=True)
class Harness:
    """One worker and everything it works with."""

    database: Database
    workers: WorkerRegistry
    worker: Worker
    queue: JobQueue
    ledger: SqlWorkLedger
    claims: WorkClaims
    clock: Clock

    @property
    def jobs(self) -> JobStore:
        return self.queue.jobs

    async def queued(self, name: str = "a", max_retries: int = 3) -> Job:
        """A job for a recording of its own."""
        return await self.jobs.enqueue(
            name * 64, 0, "request", spec(f"{name}.mp3", 60.0), max_retries=max_retries
        )

    async def claimed(self, job: Job) -> Claim:
        claim = await self.queue.claim(job.id, self.worker)
        assert isinstance(claim, Claim)
        return claim

    async def claim(
        self, key: str, claim: Claim, index: int = 0, cost: float = 1.0, *, force: bool = False
    ) -> Verdict:
        """Claim a minute of audio."""
        return await self.claims.claim(item(key, index, cost), claim.task_id, force=force)

    async def answer(self, granted: Granted) -> None:
        """Store a result for what was claimed, and book the request that brought it."""
        request = APIRequest(self.clock(), 1, 200, 1.0, 1, 60.0, paid=True)
        await self.ledger.store(
            granted, RequestRecord(granted.item, request, b"{}", self.worker.id)
        )

    async def reread(self, job: Job) -> Job:
        return (await self.jobs.jobs([job.id]))[job.id]


def spec(recording: str, audio_s: float = 0.0) -> JobSpec:
    """What was asked for, as briefly as a version can say it."""
    return JobSpec(TRANSCRIPTION, 1, {"recording": recording, "audio_s": audio_s, "request": {}})


def item(key: str, index: int = 0, cost: float = 1.0) -> WorkItem:
    """A minute of audio."""
    usage = Usage(AUDIO_SECONDS, 60.0)
    return WorkItem(key, "a" * 64, index, "cloudru", "whisper", usage, cost)


@contextlib.asynccontextmanager
async def opened(
    ledger: Ledger,
    *,
    clock: Clock | None = None,
    budgets: Budgets | None = None,
    machine: str | None = None,
    data_folder: Path | None = None,
    liveness: Liveness | None = None,
) -> AsyncIterator[Harness]:
    """A worker at a ledger, as one process has it; its locks are in `data_folder`."""
    clock = clock or Clock()
    with contextlib.closing(ledger.open(clock)) as database:
        locks = FileLocks(data_folder or ledger.folder, machine)
        workers = WorkerRegistry(LedgerWorkers(database), liveness or locks)
        async with workers.registered() as worker:
            work = work_ledger(database, SqlResultStore(database), worker.id, budgets)
            claims = WorkClaims(work, workers)
            queue = JobQueue(LedgerJobs(database), workers)
            yield Harness(database, workers, worker, queue, work, claims, clock)


def in_harness(
    ledger: Ledger, work: Callable[[Harness], Awaitable[T]], clock: Clock | None = None
) -> T:
    """What one process does at a ledger."""

    async def run() -> T:
        async with opened(ledger, clock=clock) as harness:
            return await work(harness)

    return asyncio.run(run())


class CompetingProcess:
    """`tests.queue.competing_process` as a process; it begins when `go` is called."""

    def __init__(self, *arguments: object) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.queue.competing_process", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )
        assert self.line() == "ready"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def rest(self) -> list[str]:
        """Every line it still prints, once it has ended well."""
        out, _ = self.process.communicate(timeout=PROCESS_TIMEOUT_S)
        assert self.process.returncode == 0
        return out.split()

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def contenders(count: int, *arguments: object) -> Iterator[list[CompetingProcess]]:
    """Processes that are all started and wait for `go`."""
    running = [CompetingProcess(*arguments) for _ in range(count)]
    try:
        yield running
    finally:
        for each in running:
            each.kill()
