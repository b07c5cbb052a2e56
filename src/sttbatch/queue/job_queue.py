"""JobQueue and WorkClaims: claims of jobs and items, which dead workers do not block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TypeVar

from msgspec import Struct

from sttbatch.core.errors import UsageError, WorkerReaped
from sttbatch.core.jobs import (
    SHORT_ID,
    Claim,
    Ended,
    Job,
    JobPriority,
    JobStatus,
    TakenBy,
    Worker,
)
from sttbatch.core.ports import JobStore, WorkLedger
from sttbatch.core.work import Granted, HeldBy, Verdict, WorkItem
from sttbatch.queue.worker import WorkerRegistry

T = TypeVar("T")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 1.0
PAUSE_GROWTH = 1.5


class Pace:
    """Pauses that grow from 0.2 s to 1 s while nothing happens."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    async def pause(self) -> None:
        await asyncio.sleep(self._next_s)
        self._next_s = min(LONGEST_PAUSE_S, self._next_s * PAUSE_GROWTH)


class JobQueue(Struct, frozen=True):
    """The operations on jobs that depend on which workers are alive; `jobs` has all others."""

    jobs: JobStore
    workers: WorkerRegistry

    async def claim(
        self, job_id: str, worker: Worker, *, revive_failed: bool = False
    ) -> Claim | TakenBy | Ended:
        """Claim a queued job, or one whose holder died; `TakenBy` names a living worker.

        Raises WorkerReaped if `worker` was taken for dead where heartbeats alone decide.
        """

        async def claim() -> Claim | TakenBy | Ended:
            try:
                return await self.jobs.claim(job_id, worker, revive_failed=revive_failed)
            except WorkerReaped:
                await self.workers.revive(worker)
            return await self.jobs.claim(job_id, worker, revive_failed=revive_failed)

        return await self._reaping_holders(claim)

    async def retry(self, job_id: str) -> Job:
        """As `JobStore.retry`; raises UsageError also when it is being processed."""
        return await self._change(job_id, lambda: self.jobs.retry(job_id))

    async def cancel(self, job_id: str) -> Job:
        """As `JobStore.cancel`; raises UsageError also when it is being processed."""
        return await self._change(job_id, lambda: self.jobs.cancel(job_id))

    async def set_priority(self, job_id: str, priority: JobPriority) -> Job:
        """As `JobStore.set_priority`; raises UsageError also when it is being processed."""
        return await self._change(job_id, lambda: self.jobs.set_priority(job_id, priority))

    async def free(self, job_ids: Collection[str]) -> dict[str, Job | None]:
        """Rows of the jobs that have ended or can be claimed, by id; None: the job was purged.

        A row of a dead worker still has the status PROCESSING.
        """
        rows = await self.jobs.jobs(job_ids)
        holders = {row.worker_id for row in rows.values()}
        alive = {each for each in holders if each and await self.workers.is_alive(each)}
        return {
            job_id: row
            for job_id in job_ids
            if (row := rows.get(job_id)) is None
            or row.status is not JobStatus.PROCESSING
            or row.worker_id not in alive
        }

    async def wait_until_free(
        self,
        job_ids: Collection[str],
        stopping: Callable[[], bool] = lambda: False,
    ) -> AsyncIterator[dict[str, Job | None]]:
        """Each job once, as soon as it is `free`.

        Those that are seen together come together, so that what a dead run held is taken over as a
        whole. What is free may be taken by somebody else before the caller claims it; it then waits
        again. Ends early once `stopping` says so.
        """
        waiting = set(job_ids)
        pace = Pace()
        while waiting and not stopping():
            free = await self.free(waiting)
            if free:
                waiting.difference_update(free)
                yield free
                pace = Pace()
            if waiting and not stopping():
                await pace.pause()

    async def _change(self, job_id: str, change: Callable[[], Awaitable[Job | TakenBy]]) -> Job:
        changed = await self._reaping_holders(change)
        if isinstance(changed, Job):
            return changed
        holder = (await self.workers.living([changed.worker_id])).get(changed.worker_id)
        who = holder.label if holder is not None else f"worker {changed.worker_id}"
        raise UsageError(
            f"job {job_id[:SHORT_ID]} is being processed by {who}; stop that run first"
        )

    async def _reaping_holders(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The result of `attempt`, which is repeated while a dead worker holds the job."""
        result = await attempt()
        while isinstance(result, TakenBy) and await self.workers.reap_if_dead(result.worker_id):
            result = await attempt()
        return result


class WorkClaims(Struct, frozen=True):
    """The claims of items by one worker."""

    ledger: WorkLedger
    workers: WorkerRegistry

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        """As `WorkLedger.claim`; `HeldBy` names a living worker.

        What a dead worker had reserved is booked as possibly billed.
        """
        while True:
            verdict = await self.ledger.claim(item, task_id, force=force)
            if not isinstance(verdict, HeldBy) or await self.workers.is_alive(verdict.worker_id):
                return verdict
            await self.workers.reap(verdict.worker_id)

    async def give_up(self, granted: Granted, error: str) -> None:

        await self.workers.end_claim(lambda: self.ledger.give_up(granted, error))

    async def wait_until_ended(
        self, key: str, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Return once no living worker has claimed the item, or `stopping` is true."""
        pace = Pace()
        while not stopping():
            holder = await self.ledger.holder(key)
            if holder is None or not await self.workers.is_alive(holder):
                return
            await pace.pause()
