"""What this run may work on: jobs in the ledger, claimed one by one, shared with other runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Sequence

from sttbatch.batch.job import Job
from sttbatch.core.options import RequestOptions
from sttbatch.database.database import Database
from sttbatch.queue.job import Claim, JobPayload, JobPriority, JobStatus
from sttbatch.queue.repository import JobQueue
from sttbatch.queue.waiting import wait_until_free
from sttbatch.queue.worker import Worker, WorkerRegistry

MAX_RETRIES = 3


class JobClaims:
    """The decisions of one run about jobs.

    Args:
        stream, request_sha256: with a recording's content they tell which job it is.
    """

    def __init__(
        self,
        database: Database,
        workers: WorkerRegistry,
        worker: Worker,
        *,
        request: RequestOptions,
        stream: int,
        request_sha256: str,
        priority: JobPriority,
    ) -> None:
        self._database = database
        self._workers = workers
        self._worker = worker
        self._queue = JobQueue(database, workers)
        self._request = dataclasses.asdict(request)
        self._stream = stream
        self._request_sha256 = request_sha256
        self._priority = priority

    async def enqueue(self, jobs: Sequence[Job]) -> None:
        """Give each job its row, and its priority if somebody raised that by hand."""
        rows = await asyncio.gather(*(self._enqueue(job) for job in jobs))
        for job, row in zip(jobs, rows, strict=True):
            job.id, job.priority = row

    async def take(self, job: Job) -> bool:
        """Claim a job. False: another run works on it, or ended it meanwhile."""
        taken = await self._queue.claim(job.id, self._worker)
        job.claim = taken if isinstance(taken, Claim) else None
        return job.claim is not None

    async def complete(self, job: Job) -> None:
        """Its outputs are written."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.complete(claim)

    async def fail(self, job: Job, reason: str) -> None:
        """It cannot go on; `jobs retry` or a new run over the recording revives it."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.fail(claim, reason, retry=False)

    async def release(self, job: Job) -> None:
        """The run ends; another may go on with it at once."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.release(claim)

    async def settled(
        self, jobs: Sequence[Job], stopping: Callable[[], bool]
    ) -> AsyncIterator[tuple[Job, JobStatus | None, str]]:
        """Jobs of other runs as they end or become free: (job, status, error)."""
        by_id = {job.id: job for job in jobs}
        async for each in wait_until_free(self._database, self._workers, set(by_id), stopping):
            rows = await self._queue.jobs([each.job_id])
            row = rows.get(each.job_id)
            yield by_id[each.job_id], each.status, (row.error_message or "") if row else ""

    async def _enqueue(self, job: Job) -> tuple[str, int]:
        row = await self._queue.enqueue(
            job.fingerprint.sha256,
            self._stream,
            self._request_sha256,
            JobPayload(job.shown, job.declared_s, self._request),
            self._priority,
            MAX_RETRIES,
        )
        return row.id, row.priority
