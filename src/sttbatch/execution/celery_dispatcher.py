"""CeleryDispatcher: hands out the jobs that a broker's messages name."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from sttbatch.core.errors import BrokerUnreachable, StateError, UsageError
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
        # None: it has not been tried.
        self._is_away: bool | None = None
        self._has_warned = False
        self._has_free_lanes = False
        self._is_idle = False

    async def next(
        self,
        skip: Collection[str] = (),
        above: JobPriority | None = None,
        *,
        ahead: bool = False,
    ) -> Assignment | None:
        if time.monotonic() - self._swept_at > SWEEP_S:
            await self._sweep()
        if self._doorbells.receives_nothing and not self._has_warned:
            self._has_warned = True
            self._warn("the broker delivers no messages; this worker polls the ledger")
        assignment = await self._next(skip, above, ahead=ahead)
        self._has_free_lanes = above is None and not ahead
        self._is_idle &= assignment is None
        return assignment

    async def wait(self) -> None:
        self._doorbells.rung.clear()
        if self._doorbells.waiting:
            return
        try:
            await asyncio.wait_for(self._doorbells.rung.wait(), LOOK_S)
        except TimeoutError:
            self._is_idle = self._has_free_lanes

    async def _next(
        self, skip: Collection[str], above: JobPriority | None, *, ahead: bool
    ) -> Assignment | None:
        if above is None and not self._is_away and not self._doorbells.receives_nothing:
            for job_id in self._doorbells.waiting:
                if job_id not in skip and (assignment := await self._take(job_id)) is not None:
                    return assignment
            if not ahead:
                self._doorbells.acknowledge()
                if not self._doorbells.waiting:
                    return None
        # Messages are held for the lanes only, and some are of jobs that are processed.
        return await self._ledger.next(skip, above, ahead=ahead)

    async def _take(self, job_id: str) -> Assignment | None:
        self._doorbells.take(job_id)
        try:
            assignment = await self._ledger.take(job_id)
        except BaseException:
            self._doorbells.return_message(job_id)
            raise
        if assignment is None:
            self._doorbells.nothing_to_do(job_id)
        return assignment

    def acknowledging(self, process: Process, draining: Callable[[], bool]) -> Process:
        """`process`, and then the job's messages are acknowledged.

        If the worker is draining, what it leaves of a job is delivered to others.
        """

        async def acknowledge(assignment: Assignment) -> JobEnd:
            job_id = assignment.job.id
            try:
                end = await process(assignment)
            except BaseException:
                self._doorbells.return_message(job_id)
                raise
            if not end.again or not draining():
                self._doorbells.done(job_id)
            elif not self._doorbells.return_message(job_id) and not isinstance(
                end.error, StateError
            ):
                with contextlib.suppress(StateError):
                    await tell_broker(self._orders, self._route)
            return end

        return acknowledge

    async def _sweep(self) -> None:
        """Send messages for jobs that nobody was told of, or whose messages were lost."""
        self._swept_at = time.monotonic()
        await self._ledger.keep_up()
        # Where all are busy, messages wait, and are not lost.
        jobs = await self._orders.ring(self._route, LOST_S if self._is_idle else NEVER_S, RINGS)
        if not jobs and self._is_away is False:
            return
        warn = None if self._is_away else self._warn
        self._is_away = not await _ring(self._orders, self._route, jobs, warn)


async def tell_broker(
    orders: OrderStore, route: str, warn: Callable[[str], None] | None = None
) -> None:
    """Send messages of the first jobs that a broker has not been told of.

    Raises UsageError if its address is wrong.
    """
    await _ring(orders, route, await orders.ring(route, NEVER_S, RINGS), warn)


async def _ring(
    orders: OrderStore,
    route: str,
    jobs: Sequence[tuple[str, JobPriority]],
    warn: Callable[[str], None] | None,
) -> bool:
    try:
        await asyncio.to_thread(ring, route, jobs)
    except (BrokerUnreachable, UsageError) as error:
        await orders.unring([job_id for job_id, _ in jobs])
        if isinstance(error, UsageError):
            raise
        if warn is not None:
            warn(f"{error}; until it is back, workers poll the ledger")
        return False
    return True
