"""Orders and their dispatch, over the ledger alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sttbatch.core.jobs import Job, JobPriority, JobStatus, WorkerLoad, WorkerState
from sttbatch.core.orders import CANCELLED, Assignment, Order, OrderEnd
from sttbatch.database.orders import CLOSING_S, SqlOrders
from sttbatch.queue.dispatch import LedgerDispatcher

from .harness import CompetingProcess, Harness, Ledger, opened

ROUTE = "transcription cloudru https://endpoint"
PATIENCE_S = 600.0


class Desk:
    """Orders of one worker, and what hands them out."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.orders = SqlOrders(harness.database)
        self.dispatcher = self.new_dispatcher()

    def new_dispatcher(self) -> LedgerDispatcher:
        return LedgerDispatcher(
            self.harness.queue, self.orders, self.harness.worker, ROUTE, PATIENCE_S
        )

    async def ordered(
        self, name: str = "a", *, formats: str = "[]", route: str = ROUTE
    ) -> tuple[Job, Order]:
        job = await self.harness.queued(name)
        order = Order.of(job.id, f"/talks/{name}.mp3", "/talks", formats, route, force=False)
        assert await self.orders.place([order]) == {order.id}
        return job, order

    async def now(self, order: Order) -> Order:
        return (await self.orders.find([order.id]))[order.id]

    async def next(self) -> Assignment:
        assignment = await self.dispatcher.next()
        assert assignment is not None
        return assignment


def at_desk(ledger: Ledger, story: Callable[[Desk], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(ledger) as harness:
            await story(Desk(harness))

    asyncio.run(run())


def test_only_what_was_ordered_is_handed_out_by_priority_then_age(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        clock = desk.harness.clock
        await desk.harness.queued("unordered")
        made = {}
        for name in ("first", "second", "urgent"):
            clock.now += 1
            made[name], _ = await desk.ordered(name)
        await desk.ordered("elsewhere", route="transcription local tiny.en")
        assert await desk.dispatcher.next(above=JobPriority.MEDIUM) is None
        await desk.harness.queue.set_priority(made["urgent"].id, JobPriority.HIGH)
        first = await desk.next()
        assert first.job.id == made["urgent"].id
        assert first.next_s == (60.0, 60.0)
        assert (await desk.harness.reread(first.job)).status is JobStatus.PROCESSING
        assert [(await desk.next()).job.id for _ in range(2)] == [
            made["first"].id,
            made["second"].id,
        ]
        assert await desk.dispatcher.next() is None

    at_desk(ledger, story)


def test_an_order_for_what_just_ended_is_handed_out_too(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        job, order = await desk.ordered()
        late = Order.of(job.id, order.path, order.root, '["srt"]', ROUTE, force=False)
        claim = (await desk.next()).claim
        assert claim is not None
        await desk.orders.close([OrderEnd(order.id, job.id, written="/talks/a.txt")])
        await desk.harness.jobs.complete(claim)
        assert await desk.dispatcher.next() is None
        assert await desk.orders.place([late]) == {late.id}
        desk.harness.clock.now += CLOSING_S
        assignment = await desk.next()
        assert (assignment.job.id, assignment.claim) == (job.id, None)
        assert await desk.orders.open(job.id) == [late]
        assert (await desk.now(order)).written == "/talks/a.txt"

    at_desk(ledger, story)


def test_the_same_order_twice_is_one(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        job, order = await desk.ordered()
        await desk.orders.place([order])
        assert await desk.orders.open(job.id) == [order]
        await desk.orders.close([OrderEnd(order.id, job.id, error="disk full")])
        assert await desk.dispatcher.next() is None
        # Ordered again, it is open again.
        await desk.orders.place([order])
        assert await desk.orders.open(job.id) == [order]

    at_desk(ledger, story)


def test_the_latest_order_decides_who_may_take_its_job(ledger: Ledger) -> None:
    """An address that was mistyped once does not keep the job from the workers."""

    async def story(desk: Desk) -> None:
        job, mistyped = await desk.ordered(route="transcription cloudru https://zzz")
        assert await desk.dispatcher.next() is None
        desk.harness.clock.now += 1
        right = Order.of(job.id, mistyped.path, "/talks", '["srt"]', ROUTE, force=False)
        await desk.orders.place([right])
        assert (await desk.next()).job.id == job.id

    at_desk(ledger, story)


def test_a_job_that_ends_badly_ends_its_orders_and_a_retry_opens_them(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        jobs, (failed, order) = desk.harness.jobs, await desk.ordered()
        claim = (await desk.next()).claim
        assert claim is not None
        await jobs.fail(claim, "it is damaged")
        assert (await desk.now(order)).error == "it is damaged"
        await jobs.retry(failed.id)
        assert (await desk.next()).job.id == failed.id
        other, dropped = await desk.ordered("b")
        await desk.harness.queue.cancel(other.id)
        assert (await desk.now(dropped)).error == CANCELLED
        # An order that comes too late ends at once, as nobody is going to do it.
        late = Order.of(other.id, "/b.mp3", "/", "[]", ROUTE, force=False)
        await desk.orders.place([late])
        assert (await desk.now(late)).error == CANCELLED
        assert await desk.dispatcher.next() is None
        await jobs.purge(0.0, {JobStatus.CANCELLED})
        assert await desk.orders.find([dropped.id, late.id]) == {}
        assert await desk.orders.place([late]) == set()

    at_desk(ledger, story)


def test_what_a_host_does_not_see_is_left_to_others_until_nobody_does(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        job, order = await desk.ordered()
        me, workers = desk.harness.worker, desk.harness.workers.store
        await workers.heartbeat(me, WorkerLoad(4, 0, 0, WorkerState.IDLE, ROUTE))
        await desk.orders.note_unseen(job.id, me.host, "not seen from here")
        assert await desk.dispatcher.next() is None
        # One for other jobs does not look for it.
        stranger = await workers.register("1-stranger", "elsewhere boot", 1)
        await workers.heartbeat(stranger, WorkerLoad(4, 0, 0, WorkerState.IDLE, "transcription"))
        # Another one, on a machine of its own, may see it.
        other = await workers.register("2-other", "there boot", 2)
        await workers.heartbeat(other, WorkerLoad(4, 0, 0, WorkerState.IDLE, ROUTE))
        desk.harness.clock.now += PATIENCE_S - 1
        await workers.heartbeat(other)
        assert await desk.dispatcher.next() is None
        desk.harness.clock.now += 2
        await workers.heartbeat(other)
        assert await desk.dispatcher.next() is None
        assert (await desk.now(order)).done_at is None
        there = LedgerDispatcher(desk.harness.queue, desk.orders, other, ROUTE, PATIENCE_S)
        seen = await there.next()
        assert seen is not None
        assert seen.claim is not None
        await desk.harness.jobs.release(seen.claim)
        await desk.orders.note_unseen(job.id, other.host, "other content there")
        await workers.heartbeat(stranger)
        assert await desk.dispatcher.next() is None
        assert (await desk.now(order)).error == "not seen from here; other content there"
        assert (await desk.harness.reread(job)).status is JobStatus.FAILED
        # Who orders it again says that it is there.
        await desk.harness.jobs.retry(job.id)
        assert (await desk.next()).job.id == job.id

    at_desk(ledger, story)


def test_a_dead_workers_job_is_handed_out_at_once(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        job, _ = await desk.ordered()
        killed = await asyncio.to_thread(CompetingProcess, "hold", ledger, job.id, "chunk:1")
        assert await asyncio.to_thread(killed.line) == "held"
        assert await desk.dispatcher.next() is None
        killed.kill()
        assert (await desk.next()).job.id == job.id

    at_desk(ledger, story)


def test_what_a_worker_says_of_itself_stays_until_it_says_more(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        worker, store = desk.harness.worker, desk.harness.workers.store
        assert [each.load for each in await store.list()] == [WorkerLoad()]
        load = WorkerLoad(4, 2, 1, WorkerState.ACTIVE, ROUTE)
        await store.heartbeat(worker, load)
        await desk.ordered()
        await desk.next()
        assert (await store.find([worker.id]))[worker.id].load == load
        await store.tell(worker.id, WorkerLoad(4, 0, 0, WorkerState.DRAINING))
        assert (await store.find([worker.id]))[worker.id].load.state is WorkerState.DRAINING
        await store.reap(worker.id, killed=True)
        await store.tell(worker.id, load)
        assert await store.list() == []

    at_desk(ledger, story)


def test_a_broker_is_told_of_each_job_once_and_again_when_it_is_queued_again(
    ledger: Ledger,
) -> None:
    async def story(desk: Desk) -> None:
        async def rung(lost_s: float = 1e12, limit: int = 10) -> list[str]:
            return [job_id for job_id, _ in await desk.orders.ring(ROUTE, lost_s, limit)]

        clock = desk.harness.clock
        first, _ = await desk.ordered("first")
        clock.now += 1
        second, _ = await desk.ordered("second")
        await desk.ordered("elsewhere", route="transcription local tiny.en")
        assert await rung(limit=1) == [first.id]
        assert await rung() == [second.id]
        assert await rung() == []
        clock.now += 60
        assert sorted(await rung(60)) == sorted([first.id, second.id])
        await desk.orders.unring([second.id])
        assert await rung() == [second.id]
        await desk.harness.queue.set_priority(first.id, JobPriority.HIGH)
        assert await desk.orders.ring(ROUTE, 1e12, 10) == [(first.id, JobPriority.HIGH)]
        assignment = await desk.dispatcher.take(first.id)
        assert assignment is not None
        assert assignment.claim is not None
        assert await desk.dispatcher.take(first.id) is None
        assert await rung(0) == [second.id]
        await desk.harness.queue.jobs.release(assignment.claim)
        assert await rung() == [first.id]

    at_desk(ledger, story)


def test_a_message_finds_a_completed_job_that_was_ordered_anew(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        _, order = await desk.ordered()
        assignment = await desk.next()
        assert assignment.claim is not None
        await desk.orders.ring(ROUTE, 1e12, 10)
        await desk.harness.queue.jobs.complete(assignment.claim)
        await desk.orders.close([OrderEnd(order.id, order.job_id)])
        desk.harness.clock.now += CLOSING_S + 1
        assert await desk.dispatcher.take(order.job_id) is None
        other = Order.of(order.job_id, order.path, order.root, '["srt"]', ROUTE, force=False)
        await desk.orders.place([other])
        assert await desk.orders.ring(ROUTE, 1e12, 10) == [(order.job_id, JobPriority.MEDIUM)]
        found = await desk.dispatcher.take(order.job_id)
        assert found is not None
        assert found.claim is None

    at_desk(ledger, story)


def test_the_last_jobs_are_left_to_workers_with_free_lanes(ledger: Ledger) -> None:
    async def story(desk: Desk) -> None:
        for name in ("1", "2", "3"):
            await desk.ordered(name)
        assert await desk.dispatcher.next(ahead=True) is not None
        workers, clock = desk.harness.workers.store, desk.harness.clock
        async with opened(ledger, clock=clock) as other:
            await workers.heartbeat(other.worker, WorkerLoad(2, 0, 0, WorkerState.IDLE, ROUTE))
            # It looks anew who works.
            desk.dispatcher = desk.new_dispatcher()
            assert await desk.dispatcher.next(ahead=True) is None
            assert await desk.dispatcher.next() is not None

    at_desk(ledger, story)
