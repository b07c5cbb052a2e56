"""Every statement of this room finds its rows by an index."""

from __future__ import annotations

import asyncio
import re

from sttbatch.core.jobs import JobPriority, JobStatus
from sttbatch.core.orders import Order, OrderEnd
from sttbatch.core.work import Budgets, Granted
from sttbatch.database.orders import SqlOrders
from sttbatch.database.store_facts import Scan
from sttbatch.database.workers import LedgerWorkers
from sttbatch.queue.dispatch import LedgerDispatcher
from tests.database.backends import BACKENDS
from tests.queue.harness import Harness, Ledger, opened

# All of its rows are wanted: one for each process that lives, or died since the last start.
WANTED_WHOLE = {
    (
        "SELECT id, host, pid, started_at, ledger_now() - heartbeat_at, "
        "lanes, busy_lanes, recordings, state, route FROM workers"
    ),
}
# What a host does not see is kept as long as somebody waits for it; there is little of it.
UNSEEN = re.compile(r"SELECT job_id, host, reason, ledger_now\(\) - at FROM unseen .*")


async def everything(harness: Harness) -> None:
    """Each thing that this room can do, once or more."""
    queue, jobs = harness.queue, harness.jobs
    job, dropped = await harness.queued(), await harness.queued("b")
    claim = await harness.claimed(job)
    granted = await harness.claim("chunk:1", claim)
    assert isinstance(granted, Granted)
    await harness.claim("chunk:1", claim)
    await harness.answer(granted)
    await harness.claims.wait_until_ended("chunk:1")
    await jobs.release(claim)
    await jobs.fail(await harness.claimed(job), "no")
    await jobs.retry(job.id)
    await jobs.fail(await harness.claimed(job), "no")
    assert await jobs.unfinished(0, "request")
    await jobs.retry_failed()
    await queue.set_priority(job.id, JobPriority.HIGH)
    await jobs.complete(await harness.claimed(job))
    await queue.cancel(dropped.id)
    await queue.retry(dropped.id)
    done = await harness.queued("c")
    await queue.claim(done.id, harness.worker, revive_failed=True)
    await jobs.forget([done.id])
    await jobs.find(job.short_id)
    assert await jobs.of_contents([job.file_sha256])
    for status in (None, *JobStatus):
        await jobs.list(status)
    assert await jobs.queued_above(JobPriority.LOW, 1, [dropped.id]) == {dropped.id: 2}
    assert [each async for each in harness.queue.wait_until_free([job.id])]
    await jobs.attempts(job.id)
    await jobs.chunks(job.id)
    await harness.claimed(dropped)
    await ordered(harness)
    await harness.workers.living([harness.worker.id])
    await harness.workers.sweep()
    workers = LedgerWorkers(harness.database)
    await workers.reap(harness.worker.id, killed=True)
    await workers.heartbeat(harness.worker)
    await jobs.purge(0.0, set(JobStatus))


async def ordered(harness: Harness) -> None:
    """Each thing that can be done with orders."""
    orders, job = SqlOrders(harness.database), await harness.queued("d")
    order = Order.of(job.id, "/a.mp3", "/", "{}", "here", force=False)
    dispatcher = LedgerDispatcher(harness.queue, orders, harness.worker, "here", 0.0)
    await orders.place([order])
    assert await dispatcher.next([job.id]) is None
    await orders.note_unseen(job.id, harness.worker.host, "not seen")
    # Nobody else could see it.
    assert await dispatcher.next() is None
    assert (await orders.find([order.id]))[order.id].error == "not seen"
    await harness.jobs.retry(job.id)
    assert await orders.open(job.id) == [order]
    await orders.close([OrderEnd(order.id, job.id)])


def test_no_statement_reads_a_whole_table(ledger: Ledger) -> None:
    async def work() -> dict[str, list[Scan]]:
        backend = BACKENDS[ledger.backend]
        async with opened(ledger, budgets=Budgets(1e6, 1e6)) as harness:
            async with backend.traced(harness.database) as seen:
                await everything(harness)
            statements = {
                " ".join(statement.split()): values
                for statement, values in seen
                if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)", statement)
            }
            return {
                statement: await backend.scans(harness.database, statement, values)
                for statement, values in statements.items()
            }

    statements = asyncio.run(work())
    assert len(statements) > 40
    tables = {"workers", "processing_jobs", "processing_tasks", "chunk_tasks", "requests"}
    tables |= {"orders", "unseen"}
    assert all(any(table in statement for statement in statements) for table in tables)
    whole = {
        statement: scans
        for statement, scans in statements.items()
        if any(each.is_whole for each in scans) and not UNSEEN.fullmatch(statement)
    }
    assert set(whole) <= WANTED_WHOLE, whole


def test_spending_is_summed_up_from_indexes_alone(ledger: Ledger) -> None:
    async def work() -> list[Scan]:
        async with opened(ledger) as harness:
            return [
                scan
                for query in (
                    "SELECT sum(cost) FROM requests WHERE at >= 1.0",
                    "SELECT sum(reserved_cost) FROM chunk_tasks WHERE status = 'PROCESSING'",
                )
                for scan in await BACKENDS[ledger.backend].scans(harness.database, query)
            ]

    assert asyncio.run(work()) == [
        Scan("requests", "requests_at", is_covering=True),
        Scan("chunk_tasks", "chunk_tasks_open", is_covering=True),
    ]
