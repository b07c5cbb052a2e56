"""RunClaims: the claims of one run on jobs of any kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct, field

from sttbatch.core.jobs import Claim, Job, Worker
from sttbatch.queue.job_queue import JobQueue


def dead_letter_reason(row: Job) -> str:
    """Why a dead letter is not processed, and what a user can do."""
    return (
        f"{times_failed(row)}: {row.error_message}; `sttbatch jobs retry {row.short_id}` or "
        "--force sends it again"
    )


def times_failed(row: Job) -> str:
    times = row.retry_count + 1
    return f"dead letter, failed {times} time{'s' * (times > 1)}"


class ClaimedJob(Protocol):
    """A job of a run; `claim` while the run processes it, `id` of its row in the queue."""

    id: str
    claim: Claim | None


class RunClaims(Struct, frozen=True):
    """Claims and ends jobs in the queue for `worker`.

    `completed` are the ids of jobs that the run has completed.
    """

    queue: JobQueue
    worker: Worker
    completed: list[str] = field(default_factory=list)

    async def take(self, job: ClaimedJob) -> bool:
        """Claim a job; False: another run is processing it, or has ended it."""
        if job.claim is not None:
            return True
        claiming = asyncio.ensure_future(self.queue.claim(job.id, self.worker))
        try:
            await asyncio.shield(claiming)
        finally:
            # After a cancellation the claim is written even so; the end of the run releases it.
            taken = await claiming
            job.claim = taken if isinstance(taken, Claim) else None
        return job.claim is not None

    async def complete(self, job: ClaimedJob) -> None:
        """End a job whose outputs are written."""
        if job.claim is not None:
            self.completed.append(job.id)
        await self._end(job, self.queue.jobs.complete)

    async def fail(self, job: ClaimedJob, reason: str) -> None:
        """End a job that failed; later runs try it again while it has retries left."""
        await self._end(job, lambda claim: self.queue.jobs.fail(claim, reason))

    async def release(self, job: ClaimedJob, reason: str | None = None) -> None:
        """Queue a job again, so that another run may process it; `reason`: of a hindrance."""
        await self._end(job, lambda claim: self.queue.jobs.release(claim, reason))

    async def complete_done(self, rows: Mapping[str, str], done: set[str]) -> None:
        """Complete those of unfinished jobs whose content is `done`; `rows` are ids by content."""
        for content in rows.keys() & done:
            taken = await self.queue.claim(rows[content], self.worker, revive_failed=True)
            if isinstance(taken, Claim):
                await self.queue.jobs.complete(taken)
                self.completed.append(taken.job_id)

    async def _end(self, job: ClaimedJob, end: Callable[[Claim], Awaitable[object]]) -> None:
        claim, job.claim = job.claim, None
        if claim is not None:
            await self.queue.workers.end_claim(lambda: end(claim))
