"""What this run may work on: jobs in the ledger, claimed one by one, shared with other runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from sttbatch.core.options import RequestOptions
from sttbatch.database.database import Database
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.queue.job import Claim, Job, JobPayload, JobPriority, JobStatus
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.polling import wait_until_free
from sttbatch.queue.worker import Worker, WorkerRegistry

MAX_RETRIES = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that failed without having been claimed.

    Attributes:
        content: its SHA-256, or what `unread_content` says where it cannot be read.
    """

    display_path: str
    content: str
    reason: str
    audio_s: float = 0.0


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

    async def enqueue(self, jobs: Sequence[RecordingJob]) -> None:
        """Give each job its row, and its priority if somebody raised that by hand."""
        rows = await asyncio.gather(*(self._enqueue(job) for job in jobs))
        for job, row in zip(jobs, rows, strict=True):
            job.id, job.priority = row

    async def take(self, job: RecordingJob) -> bool:
        """Claim a job. False: another run works on it, or ended it meanwhile."""
        taken = await self._queue.claim(job.id, self._worker)
        job.claim = taken if isinstance(taken, Claim) else None
        return job.claim is not None

    async def complete(self, job: RecordingJob) -> None:
        """Its outputs are written."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.complete(claim)

    async def fail(self, job: RecordingJob, reason: str) -> None:
        """It cannot go on; `jobs retry` or a new run over the recording revives it."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.fail(claim, reason, retry=False)

    async def release(self, job: RecordingJob) -> None:
        """The run ends; another may go on with it at once."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self._queue.release(claim)

    async def settled(
        self, jobs: Sequence[RecordingJob], stopping: Callable[[], bool]
    ) -> AsyncIterator[list[tuple[RecordingJob, JobStatus | None, str]]]:
        """Jobs of other runs as they end or become free: (job, status, error), in their order."""
        left = {job.id: job for job in jobs}
        async for settled in wait_until_free(self._database, self._workers, set(left), stopping):
            status = {each.job_id: each.status for each in settled}
            rows = await self._queue.jobs(list(status))
            errors = {job_id: row.error_message or "" for job_id, row in rows.items()}
            yield [
                (job, status[job_id], errors.get(job_id, ""))
                for job_id, job in left.items()
                if job_id in status
            ]

    async def note(self, failures: Sequence[Failure]) -> None:
        """Give each a FAILED row; what another run works on is that run's to tell."""
        once = {each.content: each for each in reversed(failures)}
        await asyncio.gather(*(self._note(each) for each in once.values()))

    async def unfinished(self) -> dict[str, str]:
        """Ids of jobs of this request that wait or have failed, by content."""
        return await self._queue.unfinished(self._stream, self._request_sha256)

    async def finish(self, job_ids: Iterable[str]) -> None:
        """They wait or have failed, and their recordings are done."""
        for job_id in job_ids:
            taken = await self._queue.revive(job_id, self._worker)
            if isinstance(taken, Claim):
                await self._queue.complete(taken)

    async def forget(self, job_ids: Sequence[str]) -> None:
        """They are about files that could not be read, and can be now."""
        await self._queue.forget(job_ids)

    async def _note(self, failure: Failure) -> None:
        row = await self._row(failure.content, failure.display_path, failure.audio_s)
        taken = await self._queue.claim(row.id, self._worker)
        if isinstance(taken, Claim):
            await self._queue.fail(taken, failure.reason, retry=False)

    async def _enqueue(self, job: RecordingJob) -> tuple[str, int]:
        row = await self._row(job.fingerprint.sha256, job.display_path, job.declared_s)
        return row.id, row.priority

    async def _row(self, content: str, display_path: str, audio_s: float) -> Job:
        return await self._queue.enqueue(
            content,
            self._stream,
            self._request_sha256,
            JobPayload(display_path, audio_s, self._request),
            self._priority,
            MAX_RETRIES,
        )
