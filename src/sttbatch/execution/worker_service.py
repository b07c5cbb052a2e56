"""WorkerService: takes jobs from a dispatcher until it is drained, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from sttbatch.core.errors import BudgetReached, EndpointUnreachable, StateError, SttbatchError
from sttbatch.core.jobs import JobPriority, WorkerState
from sttbatch.core.orders import Assignment
from sttbatch.core.ports import JobDispatcher

REST_S = 30.0
"""Seconds before a worker takes a job again that it was hindered from doing."""

URGENT_JOBS = 3
"""So many more jobs are processed at the same time if they are more urgent than one of the others;
those may take hours."""

LONGEST_PAUSE_S = 600.0
"""While the endpoint cannot be reached or a budget is reached, one job is tried after pauses that
double from `REST_S` to this."""


class JobEnd(Struct, frozen=True):
    """How a worker ended its work on a job.

    Attributes:
        again: something of it is left, for this worker or another.
        error: of every job; None: the next job may be done.
    """

    again: bool = False
    error: SttbatchError | None = None


class WorkerService:
    """Works on jobs until it is drained; knows nothing of their kinds.

    Args:
        process: does one job; raises nothing but bugs.
        lanes: number of jobs that keep this worker busy.
        max_jobs: number of jobs that are processed at the same time, of which some are prepared for
            the lanes.
        stop: has jobs that are being processed end soon; what is left of them is released.
        warn: is called once per incident.
    """

    def __init__(
        self,
        dispatcher: JobDispatcher,
        process: Callable[[Assignment], Awaitable[JobEnd]],
        lanes: int,
        max_jobs: int,
        stop: Callable[[], None],
        warn: Callable[[str], None],
        rest_s: float = REST_S,
    ) -> None:
        self._dispatcher = dispatcher
        self._process = process
        self._lanes = lanes
        self._max_jobs = max_jobs
        self._stop = stop
        self._warn = warn
        self._rest_s = rest_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._priorities: dict[str, JobPriority] = {}
        self._resting: dict[str, float] = {}
        self._paused_until = 0.0
        # The next pause; 0: jobs can be done.
        self._next_pause_s = 0.0
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self.draining = False
        self.has_asked = False

    @property
    def recordings(self) -> int:
        """How many jobs are processed now."""
        return len(self._tasks)

    @property
    def state(self) -> WorkerState:
        if self.draining:
            return WorkerState.DRAINING
        return WorkerState.ACTIVE if self._tasks else WorkerState.IDLE

    def drain(self) -> None:
        """Take no more jobs; `run` returns after those that are processed have ended."""
        self.draining = True
        self._stop()
        self._changed.set()

    def abort(self, error: Exception) -> None:
        """Drain because of an error, which `run` raises; the first one counts."""
        self._error = self._error or error
        self.drain()

    async def run(self) -> None:
        """Work until `drain`; raises the error that concerned every job."""
        try:
            while not self.draining:
                await self._take_jobs()
                await self._until_changed()
            while self._tasks:
                await asyncio.wait(self._tasks.values())
        finally:
            tasks = [*self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _take_jobs(self) -> None:
        while not self.draining and self._may_take():
            now = time.monotonic()
            self._resting = {each: until for each, until in self._resting.items() if until > now}
            try:
                assignment = await self._dispatcher.next(
                    {*self._tasks, *self._resting},
                    self._above(),
                    ahead=self._lanes <= len(self._tasks) < self._max_jobs,
                )
            except StateError as error:
                self.abort(error)
                return
            self.has_asked = True
            if assignment is None:
                return
            # What was claimed while a drain began is released by its task.
            self._priorities[assignment.job.id] = assignment.job.priority
            self._tasks[assignment.job.id] = asyncio.create_task(self._do(assignment))

    async def _do(self, assignment: Assignment) -> None:
        job_id = assignment.job.id
        try:
            end = await self._process(assignment)
        except Exception as error:  # noqa: BLE001 - `run` raises it
            self.abort(error)
            return
        finally:
            del self._tasks[job_id], self._priorities[job_id]
            self._changed.set()
        if end.again:
            self._resting[job_id] = time.monotonic() + self._rest_s
        if end.error is None:
            if not end.again:
                self._next_pause_s = 0.0
        elif isinstance(end.error, EndpointUnreachable | BudgetReached):
            self._pause(end.error)
        else:
            self.abort(end.error)

    def _may_take(self) -> bool:
        """Whether another job is processed if there is one, that is as urgent as `_above` says."""
        count = len(self._tasks)
        if self._next_pause_s:
            return not count and not self._pause_s()
        return count < self._max_jobs + URGENT_JOBS

    def _above(self) -> JobPriority | None:
        """The priority that the next job has to exceed; None: it may have any."""
        return min(self._priorities.values()) if len(self._tasks) >= self._max_jobs else None

    def _pause(self, error: SttbatchError) -> None:
        if self._pause_s():
            # Another job has met with the same.
            return
        if not self._next_pause_s and not self.draining:
            self._warn(f"{error}; this worker continues when that is over")
        pause_s = self._next_pause_s or self._rest_s
        self._paused_until = time.monotonic() + pause_s
        self._next_pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _pause_s(self) -> float:
        return max(0.0, self._paused_until - time.monotonic())

    async def _until_changed(self) -> None:
        """Return when a job has ended, a pause is over, a drain begins or there may be jobs."""
        pause_s = self._pause_s()
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._changed.wait())]
        if self._may_take():
            waits.append(asyncio.ensure_future(self._dispatcher.wait()))
        try:
            await asyncio.wait(waits, timeout=pause_s or None, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
            # A second signal may come here, which must not be lost.
            await asyncio.gather(*waits, return_exceptions=True)
        self._changed.clear()
