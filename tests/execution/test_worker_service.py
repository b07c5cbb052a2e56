"""A worker's loop, with jobs that the test ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import pytest

from sttbatch.core.errors import BudgetReached, EndpointRefused, StateError
from sttbatch.core.jobs import Job, JobPriority, JobSpec, JobStatus, WorkerState
from sttbatch.core.orders import Assignment
from sttbatch.execution.worker_service import URGENT_JOBS, JobEnd, WorkerService

LANES, MAX_JOBS = 2, 3


def job(name: str) -> Job:
    spec = JobSpec("transcription", 2, {"recording": name})
    state = (priority(name), JobStatus.QUEUED, 0, 3, 0, None, 0.0, None, None, None)
    return Job(name, "f" * 64, 0, "request", spec, *state)


def priority(name: str) -> JobPriority:
    return JobPriority.HIGH if name.startswith("urgent") else JobPriority.MEDIUM


class Queue:
    """A dispatcher over a list; `more` wakes who waits."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.asked = asyncio.Event()
        self.ahead: list[bool] = []
        self.fault: StateError | None = None
        self._more = asyncio.Event()

    async def next(
        self,
        skip: Collection[str] = (),
        above: JobPriority | None = None,
        *,
        ahead: bool = False,
    ) -> Assignment | None:
        if self.fault is not None:
            raise self.fault
        self.asked.set()
        self.ahead.append(ahead)
        ready = [name for name in self.names if name not in skip and priority(name) > (above or 0)]
        if not ready:
            return None
        self.names.remove(ready[0])
        return Assignment(job(ready[0]), None)

    async def wait(self) -> None:
        await self._more.wait()
        self._more.clear()

    def more(self, *names: str) -> None:
        self.names += names
        self._more.set()


class Bench:
    """A service whose jobs end when the test says how."""

    def __init__(self, *names: str, rest_s: float = 1000.0) -> None:
        self.queue = Queue(*names)
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.ends: dict[str, asyncio.Future[JobEnd]] = {}
        self.warnings: list[str] = []
        self.stops = 0
        self.service = WorkerService(
            self.queue, self.process, LANES, MAX_JOBS, self.stop, self.warnings.append, rest_s
        )

    async def process(self, assignment: Assignment) -> JobEnd:
        name = assignment.job.id
        self.ends[name] = asyncio.get_running_loop().create_future()
        self.begun.put_nowait(name)
        return await self.ends[name]

    def stop(self) -> None:
        self.stops += 1

    async def begin(self, count: int) -> set[str]:
        return {await self.begun.get() for _ in range(count)}

    def end(self, name: str, end: JobEnd | None = None) -> None:
        self.ends[name].set_result(end or JobEnd())


def at_bench(
    story: Callable[[Bench, asyncio.Task[None]], Awaitable[None]], *names: str, rest_s: float = 1e3
) -> None:
    async def run() -> None:
        bench = Bench(*names, rest_s=rest_s)
        async with asyncio.timeout(20):
            running = asyncio.create_task(bench.service.run())
            await story(bench, running)
            bench.service.drain()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_it_keeps_its_places_filled_and_drains() -> None:
    async def story(bench: Bench, running: asyncio.Task[None]) -> None:
        assert await bench.begin(MAX_JOBS) == {"a", "b", "c"}
        # The third one is prepared while two are sent; beyond that it asks for urgent ones.
        assert bench.queue.ahead == [False, False, True, False]
        assert (bench.service.state, bench.service.recordings) == (WorkerState.ACTIVE, MAX_JOBS)
        bench.end("b")
        assert await bench.begin(1) == {"d"}
        bench.service.drain()
        assert bench.service.state is WorkerState.DRAINING
        assert bench.stops == 1
        bench.end("a")
        bench.end("c")
        await asyncio.sleep(0)
        assert not running.done()
        bench.end("d")
        await running
        assert bench.queue.names == ["e"]

    at_bench(story, "a", "b", "c", "d", "e")


def test_it_wakes_for_a_job_that_comes_later() -> None:
    async def story(bench: Bench, _: asyncio.Task[None]) -> None:
        await bench.queue.asked.wait()
        assert bench.service.state is WorkerState.IDLE
        bench.queue.more("a")
        assert await bench.begin(1) == {"a"}
        bench.end("a")

    at_bench(story)


def test_what_is_more_urgent_than_what_fills_its_places_does_not_wait() -> None:
    async def story(bench: Bench, _: asyncio.Task[None]) -> None:
        await bench.begin(MAX_JOBS)
        bench.queue.more("d", *(f"urgent-{number}" for number in range(URGENT_JOBS + 1)))
        begun = await bench.begin(URGENT_JOBS)
        assert all(name.startswith("urgent") for name in begun)
        assert bench.service.recordings == MAX_JOBS + URGENT_JOBS
        assert bench.queue.names == ["d", f"urgent-{URGENT_JOBS}"]
        for name in ("a", "b", "c", *begun):
            bench.end(name)
        left = await bench.begin(2)
        for name in left:
            bench.end(name)

    at_bench(story, "a", "b", "c")


def test_a_job_that_was_hindered_rests_and_others_go_on() -> None:
    async def story(bench: Bench, _: asyncio.Task[None]) -> None:
        await bench.begin(1)
        bench.end("a", JobEnd(again=True))
        bench.queue.more("a", "b")
        assert await bench.begin(1) == {"b"}
        assert bench.queue.names == ["a"]
        bench.end("b")

    at_bench(story, "a")


def test_a_budget_pauses_it_with_one_warning_and_one_job_tries_again() -> None:
    async def story(bench: Bench, _: asyncio.Task[None]) -> None:
        await bench.begin(MAX_JOBS)
        for name in "abc":
            bench.end(name, JobEnd(again=True, error=BudgetReached("budget_per_day 1")))
        bench.queue.more("e", "f")
        assert await bench.begin(1) == {"d"}
        bench.end("d", JobEnd(again=True, error=BudgetReached("budget_per_day 1")))
        assert await bench.begin(1) == {"e"}
        assert bench.begun.empty()
        assert bench.warnings == ["budget_per_day 1; this worker continues when that is over"]
        # Once it is over as many as ever are processed.
        bench.end("e")
        assert await bench.begin(1) == {"f"}
        bench.end("f")

    at_bench(story, "a", "b", "c", "d", rest_s=0.05)


@pytest.mark.parametrize("error", [EndpointRefused("401"), StateError("disk I/O error")])
def test_an_error_of_every_job_ends_it(error: EndpointRefused | StateError) -> None:
    async def story(bench: Bench, running: asyncio.Task[None]) -> None:
        await bench.begin(2)
        bench.end("a", JobEnd(again=True, error=error))
        bench.end("b")
        with pytest.raises(type(error)):
            await running
        assert bench.stops == 1

    at_bench(story, "a", "b")


def test_a_ledger_that_cannot_be_asked_ends_it() -> None:
    async def story(bench: Bench, running: asyncio.Task[None]) -> None:
        await bench.begin(1)
        bench.queue.fault = StateError("gone")
        bench.end("a")
        with pytest.raises(StateError, match="gone"):
            await running

    at_bench(story, "a")
