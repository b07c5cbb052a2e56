"""LedgerDispatcher: hands out the jobs of the ledger that somebody ordered."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from sttbatch.core.jobs import Claim, Ended, Job, JobPriority, JobStatus, Worker
from sttbatch.core.orders import Assignment
from sttbatch.queue.job_queue import JobQueue, Pace

if TYPE_CHECKING:
    from sttbatch.core.ports import OrderStore

ROWS_AHEAD = 16
"""Jobs of the queue that are read at once; others may claim the first ones meanwhile."""

UNSEEN_ROWS = 1000

UPKEEP_S = 10.0
"""Seconds until a busy worker looks for what others left; an idle one does each time."""


class LedgerDispatcher:
    """The `JobDispatcher` of one worker over the ledger alone.

    Args:
        route: the jobs that this worker can do.
        unseen_s: seconds after which a job fails whose recording no living worker sees.
    """

    def __init__(
        self, queue: JobQueue, orders: OrderStore, worker: Worker, route: str, unseen_s: float
    ) -> None:
        self._queue = queue
        self._orders = orders
        self._worker = worker
        self._route = route
        self._unseen_s = unseen_s
        self._pace = Pace()
        self._upkeep_at = -UPKEEP_S

    async def next(
        self,
        skip: Collection[str] = (),
        above: JobPriority | None = None,
        *,
        ahead: bool = False,
    ) -> Assignment | None:
        if time.monotonic() - self._upkeep_at > UPKEEP_S:
            await self.keep_up()
        assignment = await self._ended(skip, above) or await self._queued(skip, above, ahead=ahead)
        if assignment is None and above is None and not ahead and await self.keep_up():
            assignment = await self._queued(skip, above)
        if assignment is not None:
            self._pace = Pace()
        return assignment

    async def wait(self) -> None:
        await self._pace.pause()

    async def take(self, job_id: str) -> Assignment | None:
        """One job, as `next`; None: this worker has nothing to do for it."""
        job = await self._orders.rung(self._route, job_id, self._worker.host)
        if job is None:
            return None
        if job.status is JobStatus.COMPLETED:
            return Assignment(job, None)
        claim = await self._queue.claim(job.id, self._worker)
        if not isinstance(claim, Claim):
            return None
        return _assignment(job, claim, await self._read(JobStatus.QUEUED, (), None))

    async def keep_up(self) -> bool:
        """Look after jobs that no worker gets on with; returns whether any was queued again."""
        self._upkeep_at = time.monotonic()
        await self._fail_what_nobody_sees()
        return await self._free_jobs_of_the_dead()

    async def _ended(self, skip: Collection[str], above: JobPriority | None) -> Assignment | None:
        """A completed job, somebody's outputs of which are not written."""
        jobs = await self._read(JobStatus.COMPLETED, skip, above)
        return Assignment(jobs[0], None) if jobs else None

    async def _queued(
        self, skip: Collection[str], above: JobPriority | None, *, ahead: bool = False
    ) -> Assignment | None:
        jobs = await self._read(JobStatus.QUEUED, skip, above)
        if ahead and jobs and len(jobs) < ROWS_AHEAD:
            # Otherwise the last jobs wait for one worker while the lanes of others are free.
            others = await self._workers_of_route()
            if len(jobs) <= sum(each.load.lanes for each in others):
                return None
        for position, job in enumerate(jobs):
            claim = await self._queue.claim(job.id, self._worker)
            if isinstance(claim, Claim):
                return _assignment(job, claim, jobs[position + 1 :])
        return None

    async def _read(
        self, status: JobStatus, skip: Collection[str], above: JobPriority | None
    ) -> list[Job]:
        jobs = await self._orders.routed(
            self._route, status, self._worker.host, ROWS_AHEAD + len(skip), above
        )
        return [job for job in jobs if job.id not in skip]

    async def _free_jobs_of_the_dead(self) -> bool:
        freed = False
        for holder in await self._orders.holders(self._route) - {self._worker.id}:
            freed |= await self._queue.workers.reap_if_dead(holder)
        return freed

    async def _workers_of_route(self) -> list[Worker]:
        """The other living workers that can do the same jobs."""
        living = await self._queue.workers.of_routes({self._route})
        return [each for each in living if each.id != self._worker.id]

    async def _fail_what_nobody_sees(self) -> None:
        unseen = await self._orders.unseen(self._route, UNSEEN_ROWS)
        if not unseen or max(each.age_s for each in unseen) < self._unseen_s:
            return
        others = await self._workers_of_route()
        hosts = {each.host for each in others} | {self._worker.host}
        for job_id, of_job in groupby(unseen, key=lambda each: each.job_id):
            known = list(of_job)
            if known[0].age_s >= self._unseen_s and hosts <= {each.host for each in known}:
                reason = "; ".join(each.reason for each in known)
                await fail_ordered(self._queue, self._orders, self._worker, job_id, reason)


def _assignment(job: Job, claim: Claim, following: Sequence[Job]) -> Assignment:
    return Assignment(job, claim, tuple(each.spec.usage.audio_s for each in following))


async def fail_ordered(
    queue: JobQueue, orders: OrderStore, worker: Worker, job_id: str, reason: str
) -> None:
    """Fail a job that waits, or the orders of one that has ended; not one that others process."""
    claim = await queue.claim(job_id, worker)
    if isinstance(claim, Claim):
        await queue.jobs.fail(claim, reason)
    elif isinstance(claim, Ended):
        await orders.close_all(job_id, reason)
