"""JobQueue: every change of a job's state, each in one transaction."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Collection

from sttbatch.core.errors import UsageError
from sttbatch.database.database import Database
from sttbatch.database.session import Session
from sttbatch.queue import job_rows, transitions
from sttbatch.queue.job import (
    TERMINAL,
    Claim,
    Ended,
    Job,
    JobPayload,
    JobPriority,
    JobStatus,
    TakenBy,
)
from sttbatch.queue.worker import Worker, WorkerRegistry

FORGET = "DELETE FROM processing_jobs WHERE id = ? AND status <> 'PROCESSING'"
UNFINISHED = """SELECT file_sha256, id FROM processing_jobs
    WHERE status IN ('QUEUED', 'FAILED') AND stream = ? AND request_sha256 = ?"""

EVERY = 1_000_000_000
"""A limit that is none."""


class JobQueue:
    """The jobs of one ledger, shared by all processes that use it.

    Args:
        workers: knows which processes live; the work of dead ones is free at once.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        database: Database,
        workers: WorkerRegistry,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._workers = workers
        self._clock = clock

    async def enqueue(
        self,
        file_sha256: str,
        stream: int,
        request_sha256: str,
        payload: JobPayload,
        priority: JobPriority = JobPriority.MEDIUM,
        max_retries: int = 3,
    ) -> Job:
        """The job of this content and request: the active one, a revived one, or a new one.

        An active job is raised to `priority` while it is queued, never lowered: somebody may have
        raised it by hand. Payload and `max_retries` of a job that is there stay as they are.
        """
        content = (file_sha256, stream, request_sha256)

        def write(db: Session) -> Job:
            job = job_rows.unfinished_job(db, *content)
            if job is None:
                return transitions.insert(
                    db, content, payload, priority, max_retries, self._clock()
                )
            if job.status.is_terminal:
                job = transitions.requeue(db, job, job.revived_retry_count)
                return transitions.prioritise(db, job, priority)
            if job.status is JobStatus.QUEUED and priority > job.priority:
                return transitions.prioritise(db, job, priority)
            return job

        return await self._database.write(write)

    async def claim(self, job_id: str, worker: Worker) -> Claim | TakenBy | Ended:
        """Take a queued job, or one whose holder died, whatever its row says."""

        def write(db: Session) -> Claim | TakenBy | Ended:
            self._workers.touch(db, worker)
            job = self._freed(db, job_id)
            if job is None or job.status.is_terminal:
                return Ended(job.status if job else None)
            if job.worker_id is not None:
                return TakenBy(job.worker_id)
            return transitions.start(db, job, worker, self._clock())

        return await self._database.write(write)

    async def revive(self, job_id: str, worker: Worker) -> Claim | TakenBy | Ended:
        """Claim a job that is queued or has failed."""

        def requeue(db: Session) -> None:
            job = job_rows.job_by_id(db, job_id)
            if job is not None and job.status is JobStatus.FAILED:
                transitions.requeue(db, job, job.revived_retry_count)

        await self._database.write(requeue)
        return await self.claim(job_id, worker)

    async def complete(self, claim: Claim) -> bool:
        """PROCESSING -> COMPLETED. False: the claim is void, and nothing was changed."""

        def write(db: Session) -> bool:
            job = transitions.held(db, claim)
            if job is None:
                return False
            now = self._clock()
            transitions.end(db, job, JobStatus.COMPLETED, None, now)
            transitions.close_pass(db, claim, "COMPLETED", now)
            return True

        return await self._database.write(write)

    async def fail(self, claim: Claim, error: str, *, retry: bool) -> JobStatus | None:
        """Put it back into the queue when it may be retried and retries are left, else FAILED.

        Returns:
            What it became; None: the claim is void, and nothing was changed.
        """

        def write(db: Session) -> JobStatus | None:
            job = transitions.held(db, claim)
            if job is None:
                return None
            now = self._clock()
            transitions.close_pass(db, claim, "FAILED", now)
            if retry and job.can_retry:
                return transitions.requeue(db, job, job.retry_count + 1, error).status
            transitions.end(db, job, JobStatus.FAILED, error, now)
            return JobStatus.FAILED

        return await self._database.write(write)

    async def release(self, claim: Claim) -> bool:
        """PROCESSING -> QUEUED, no retry counted. False: the claim is void, nothing was changed."""

        def write(db: Session) -> bool:
            job = transitions.held(db, claim)
            if job is None:
                return False
            transitions.requeue(db, job, job.retry_count)
            transitions.close_pass(db, claim, "RELEASED", self._clock())
            return True

        return await self._database.write(write)

    async def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again; one that is queued stays so.

        Raises:
            UsageError: it is done, or a living process works on it.
        """

        def write(db: Session) -> Job:
            job = self._free_or_refuse(db, job_id)
            if job.status is JobStatus.COMPLETED:
                raise UsageError(
                    f"job {job.short_id} is done; `sttbatch transcribe --force` sends it again"
                )
            if job.status is JobStatus.QUEUED:
                return job
            return transitions.requeue(db, job, job.revived_retry_count)

        return await self._database.write(write)

    async def retry_failed(self) -> builtins.list[Job]:
        """Queue every failed job again."""

        def write(db: Session) -> builtins.list[Job]:
            failed = job_rows.listed_jobs(db, JobStatus.FAILED, EVERY)
            return [transitions.requeue(db, job, job.revived_retry_count) for job in failed]

        return await self._database.write(write)

    async def cancel(self, job_id: str) -> Job:
        """QUEUED, or PROCESSING of a dead worker, -> CANCELLED.

        Raises:
            UsageError: it has ended, or a living process works on it.
        """

        def write(db: Session) -> Job:
            job = self._free_or_refuse(db, job_id)
            transitions.end(db, job, JobStatus.CANCELLED, job.error_message, self._clock())
            return transitions.reread(db, job.id)

        return await self._database.write(write)

    async def set_priority(self, job_id: str, priority: JobPriority) -> Job:
        """Raises UsageError when it is not queued any more."""

        def write(db: Session) -> Job:
            job = self._free_or_refuse(db, job_id)
            if job.status is not JobStatus.QUEUED:
                raise UsageError(
                    f"job {job.short_id} is {job.status}; priority counts only while it is queued"
                )
            return transitions.prioritise(db, job, priority)

        return await self._database.write(write)

    async def purge(
        self, older_than_s: float = 0.0, statuses: Collection[JobStatus] = TERMINAL
    ) -> int:
        """Remove jobs that ended so long ago, with their passes and chunks; returns how many.

        What was paid for stays: it lies in other tables. Active jobs are never removed.
        """
        before = self._clock() - older_than_s

        def write(db: Session) -> int:
            removed = 0
            for status in sorted(TERMINAL.intersection(statuses)):
                removed += db.execute(
                    "DELETE FROM processing_jobs WHERE status = ? AND completed_at <= ?",
                    (status, before),
                ).rowcount
            transitions.drop_orphans(db)
            return removed

        return await self._database.write(write)

    async def forget(self, job_ids: Collection[str]) -> None:
        """Remove jobs that nobody works on."""
        if job_ids:
            rows = [(job_id,) for job_id in job_ids]
            await self._database.write(lambda db: db.executemany(FORGET, rows))

    async def unfinished(self, stream: int, request_sha256: str) -> dict[str, str]:
        """Ids of this request's queued and failed jobs, by content."""
        row = (stream, request_sha256)
        return await self._database.read(lambda db: dict(db.execute(UNFINISHED, row).fetchall()))

    async def list(self, status: JobStatus | None = None, limit: int = EVERY) -> list[Job]:
        """QUEUED and PROCESSING in the order of the queue, others the newest first."""
        return await self._database.read(lambda db: job_rows.listed_jobs(db, status, limit))

    async def find(self, prefix: str) -> Job:
        """Raises UsageError when no job, or more than one, has an id that begins with `prefix`."""
        return await self._database.read(lambda db: job_rows.job_by_prefix(db, prefix))

    async def jobs(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those that are there, by id."""
        return await self._database.read(lambda db: job_rows.jobs_by_id(db, job_ids))

    async def statuses(self, job_ids: Collection[str]) -> dict[str, JobStatus]:
        return {job_id: job.status for job_id, job in (await self.jobs(job_ids)).items()}

    def _freed(self, db: Session, job_id: str) -> Job | None:
        """The job; QUEUED if its holder has died."""
        job = job_rows.job_by_id(db, job_id)
        if job is None or job.worker_id is None or self._workers.is_alive(db, job.worker_id):
            return job
        self._workers.reap_now(db, job.worker_id)
        return transitions.reread(db, job_id)

    def _free_or_refuse(self, db: Session, job_id: str) -> Job:
        job = self._freed(db, job_id)
        if job is None:
            raise UsageError(f"there is no job {job_id!r}")
        if job.worker_id is not None:
            holder = self._workers.worker(db, job.worker_id)
            who = holder.label if holder is not None else f"worker {job.worker_id}"
            raise UsageError(f"job {job.short_id} is at work in {who}; stop that run first")
        return job
