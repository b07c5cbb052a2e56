"""CeleryDispatcher: hands out the jobs that a broker's messages name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from sttbatch.core.errors import BrokerUnreachable
from sttbatch.core.jobs import JobPriority
from sttbatch.core.orders import Assignment
from sttbatch.core.ports import OrderStore
from sttbatch.execution.celery_app import Doorbells, ring
from sttbatch.execution.worker_service import JobEnd
from sttbatch.queue.dispatch import LedgerDispatcher

Process: TypeAlias = Callable[[Assignment], Awaitable[JobEnd]]

SWEEP_S = 10.0
"""Seconds between two looks for jobs that no message tells of."""

LOST_S = 60.0
"""A message counts as lost if so many seconds later its job waits although a worker is idle."""

NEVER_S = 1e12
LOOK_S = 1.0
RINGS = 1000
"""Messages that are sent at once."""


class CeleryDispatcher:
    """The `JobDispatcher` of one worker that a broker tells of jobs.

    While the broker is away it looks into the ledger, as it does for what is more urgent than all
    that it processes.

    Args:
        warn: is called once when the broker cannot be reached.
    """

    def __init__(
        self,
        ledger: LedgerDispatcher,
        orders: OrderStore,
        route: str,
        doorbells: Doorbells,
        warn: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._orders = orders
        self._route = route
        self._doorbells = doorbells
        self._warn = warn
        self._swept_at = -SWEEP_S
        self._is_away = False

    async def next(
        self,
        skip: Collection[str] = (),
        above: JobPriority | None = None,
        *,
        ahead: bool = False,
    ) -> Assignment | None:
        if time.monotonic() - self._swept_at > SWEEP_S:
            await self._sweep(is_idle=above is None and not self._doorbells.waiting)
        if above is not None or self._is_away:
            return await self._ledger.next(skip, above, ahead=ahead)
        for job_id in self._doorbells.waiting:
            self._doorbells.take(job_id)
            assignment = None if job_id in skip else await self._ledger.take(job_id)
            if assignment is not None:
                return assignment
            self._doorbells.answer(job_id, done=True)
        return None

    async def wait(self) -> None:
        self._doorbells.rung.clear()
        if self._doorbells.waiting:
            return
        try:
            await asyncio.wait_for(self._doorbells.rung.wait(), LOOK_S)
        except TimeoutError:
            return

    def acknowledging(self, process: Process, draining: Callable[[], bool]) -> Process:
        """`process`, and then the job's messages are acknowledged.

        If the worker is draining, what it leaves of a job is delivered to others.
        """

        async def acknowledge(assignment: Assignment) -> JobEnd:
            end = JobEnd(again=True)
            try:
                end = await process(assignment)
                return end
            finally:
                self._doorbells.answer(assignment.job.id, done=not (end.again and draining()))

        return acknowledge

    async def _sweep(self, *, is_idle: bool) -> None:
        """Send messages for jobs that nobody was told of, or whose messages were lost."""
        self._swept_at = time.monotonic()
        await self._ledger.keep_up()
        # Where all are busy, messages wait, and are not lost.
        jobs = await self._orders.ring(self._route, LOST_S if is_idle else NEVER_S, RINGS)
        if not jobs and not self._is_away:
            return
        warn = self._warn if not self._is_away else None
        self._is_away = not await _ring(self._orders, self._route, jobs, warn)


async def tell_broker(orders: OrderStore, route: str, warn: Callable[[str], None]) -> None:
    """Send messages of the first jobs that a broker has not been told of."""
    await _ring(orders, route, await orders.ring(route, NEVER_S, RINGS), warn)


async def _ring(
    orders: OrderStore,
    route: str,
    jobs: Sequence[tuple[str, JobPriority]],
    warn: Callable[[str], None] | None,
) -> bool:
    try:
        await asyncio.to_thread(ring, route, jobs)
    except BrokerUnreachable as error:
        await orders.unring([job_id for job_id, _ in jobs])
        if warn is not None:
            warn(f"{error}; until it is back, workers look into the ledger")
        return False
    return True
