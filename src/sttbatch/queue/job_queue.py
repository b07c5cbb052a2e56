"""JobQueue: jobs as one process meets them; what a dead worker held is free."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import SHORT_ID, Claim, Ended, Job, JobPriority, TakenBy, Worker
from sttbatch.core.ports import JobStore
from sttbatch.queue.worker import WorkerRegistry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobQueue:
    """What depends on who is alive; everything else is asked of `jobs` itself.

    Attributes:
        jobs: the jobs of one ledger, shared by all processes that use it.
        workers: knows which of them are alive.
    """

    jobs: JobStore
    workers: WorkerRegistry

    async def claim(
        self, job_id: str, worker: Worker, *, revive_failed: bool = False
    ) -> Claim | TakenBy | Ended:
        """Take a queued job, or one whose holder died; `TakenBy`: by a worker that is alive."""
        return await self._past_the_dead(
            lambda: self.jobs.claim(job_id, worker, revive_failed=revive_failed)
        )

    async def retry(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again; one that is queued stays so.

        Raises:
            UsageError: it is completed, or being processed.
        """
        return await self._change(job_id, lambda: self.jobs.retry(job_id))

    async def cancel(self, job_id: str) -> Job:
        """QUEUED, or PROCESSING of a dead worker, -> CANCELLED.

        Raises:
            UsageError: it has ended, or is being processed.
        """
        return await self._change(job_id, lambda: self.jobs.cancel(job_id))

    async def set_priority(self, job_id: str, priority: JobPriority) -> Job:
        """Raises UsageError when it is not queued any more."""
        return await self._change(job_id, lambda: self.jobs.set_priority(job_id, priority))

    async def _change(self, job_id: str, change: Callable[[], Awaitable[Job | TakenBy]]) -> Job:
        changed = await self._past_the_dead(change)
        if isinstance(changed, Job):
            return changed
        holder = (await self.workers.living([changed.worker_id])).get(changed.worker_id)
        who = holder.label if holder is not None else f"worker {changed.worker_id}"
        raise UsageError(
            f"job {job_id[:SHORT_ID]} is being processed by {who}; stop that run first"
        )

    async def _past_the_dead(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` brings once no dead worker is in its way."""
        result = await attempt()
        while isinstance(result, TakenBy) and await self.workers.reap_if_dead(result.worker_id):
            result = await attempt()
        return result
