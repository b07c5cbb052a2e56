"""Every statement of this room finds its rows by an index."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from sttbatch.core.work import Budgets, Granted
from sttbatch.database.session import Session
from sttbatch.queue.attempts import chunks_of, passes_of
from sttbatch.queue.job import JobPriority, JobStatus
from sttbatch.queue.polling import wait_until_free
from tests.database import sqlite
from tests.queue.harness import Room, opened

# All of its rows are wanted: one for each process that lives, or died since the last start.
WANTED_WHOLE = {"SELECT id FROM workers"}


async def everything(room: Room) -> None:
    """Each thing that this room can do, once or more."""
    queue = room.queue
    job, dropped = await room.queued(), await room.queued("b")
    claim = await room.claimed(job)
    granted = await room.claim("chunk:1", claim)
    assert isinstance(granted, Granted)
    await room.claim("chunk:1", claim)
    await room.answer(granted)
    await room.claims.wait_until_ended("chunk:1")
    await queue.release(claim)
    await queue.fail(await room.claimed(job), "no", retry=True)
    await queue.fail(await room.claimed(job), "no", retry=False)
    assert await queue.unfinished(0, "request")
    await queue.retry_failed()
    await queue.set_priority(job.id, JobPriority.HIGH)
    await queue.complete(await room.claimed(job))
    await queue.cancel(dropped.id)
    await queue.retry(dropped.id)
    done = await room.queued("c")
    await queue.revive(done.id, room.worker)
    await queue.forget([done.id])
    await queue.find(job.short_id)
    for status in (None, *JobStatus):
        await queue.list(status)
    assert [each async for each in wait_until_free(room.database, room.workers, [job.id])]
    await room.database.read(lambda db: (passes_of(db, job.id), chunks_of(db, job.id)))
    await room.claimed(dropped)
    await room.workers.living([room.worker.id])
    await room.workers.sweep()
    await room.workers.reap(room.worker.id)
    await queue.purge()


def scans(db: Session, statement: str) -> list[str]:
    """The steps of a plan that read a whole table or index."""
    plan = db.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    scanned = [detail for *_, detail in plan if detail.startswith("SCAN")]
    return [detail for detail in scanned if detail != "SCAN CONSTANT ROW"]


def test_no_statement_reads_a_whole_table(tmp_path: Path) -> None:
    async def work() -> tuple[set[str], dict[str, list[str]]]:
        seen: list[str] = []
        async with opened(tmp_path, budgets=Budgets(1e6, 1e6)) as room:
            await room.database.read(lambda db: sqlite.trace(db, seen))
            await everything(room)
            await room.database.read(lambda db: sqlite.connection(db).set_trace_callback(None))
            statements = {
                " ".join(statement.split())
                for statement in seen
                if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)", statement)
            }
            found = await room.database.read(
                lambda db: {statement: scans(db, statement) for statement in statements}
            )
        return statements, found

    statements, found = asyncio.run(work())
    assert len(statements) > 50
    tables = {"workers", "processing_jobs", "processing_tasks", "chunk_tasks", "requests"}
    assert all(any(table in statement for statement in statements) for table in tables)
    scanned = {statement: steps for statement, steps in found.items() if steps}
    assert set(scanned) <= WANTED_WHOLE, scanned


def test_spending_is_summed_up_from_indexes_alone(tmp_path: Path) -> None:
    async def work() -> list[str]:
        async with opened(tmp_path) as room:
            return await room.database.read(
                lambda db: [
                    detail
                    for query in (
                        "SELECT sum(cost) FROM requests WHERE at >= 1.0",
                        "SELECT sum(reserved_cost) FROM chunk_tasks WHERE status = 'PROCESSING'",
                    )
                    for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {query}")
                ]
            )

    assert asyncio.run(work()) == [
        "SEARCH requests USING COVERING INDEX requests_at (at>?)",
        "SEARCH chunk_tasks USING COVERING INDEX chunk_tasks_open (status=?)",
    ]
