"""Orders, and which hosts do not see a recording: the tables `orders` and `unseen`."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

from sttbatch.core.jobs import Job, JobPriority, JobStatus
from sttbatch.core.orders import CANCELLED, NotSeen, Order, OrderEnd
from sttbatch.database.database import Database
from sttbatch.database.job_rows import SELECT, JobRows
from sttbatch.database.order_rows import FORGET_UNSEEN, close_orders, update_route
from sttbatch.database.payload_seal import PayloadSeal
from sttbatch.database.sealing import note_key
from sttbatch.database.store import Session
from sttbatch.database.workers import storable

CLOSING_S = 1.0
"""Seconds in which a worker that completed a job closes its orders itself."""

_A_TRANSACTION = 200

_SELECT = """SELECT id, job_id, path, root, outputs, route, force, done_at, error, written
    FROM orders"""
BY_IDS = f"{_SELECT} WHERE id IN (?*)"
OPEN = f"{_SELECT} WHERE job_id = ? AND done_at IS NULL ORDER BY ordered_at, id"
WAITING = "SELECT DISTINCT job_id FROM orders WHERE job_id IN (?*) AND done_at IS NULL"
JOB_STATE = "SELECT status, error_message FROM processing_jobs WHERE id = ?"
PLACE = """
    INSERT INTO orders (id, job_id, path, root, outputs, route, force, ordered_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ledger_now())
    ON CONFLICT (id) DO UPDATE SET
        route = excluded.route, ordered_at = excluded.ordered_at,
        force = CASE WHEN orders.done_at IS NULL AND orders.force = 1 THEN 1
                     ELSE excluded.force END,
        done_at = NULL, error = NULL, written = NULL"""
# The job's own end may have closed it with an error that says less.
CLOSE = """UPDATE orders SET done_at = ledger_now(), error = ?, written = ?
    WHERE id = ? AND (done_at IS NULL OR error IS NOT NULL)"""

ROUTED = f"""{SELECT} WHERE route = ? AND status = ? AND priority > ?
    AND (completed_at IS NULL OR completed_at <= ledger_now() - ?) AND NOT EXISTS (
        SELECT 1 FROM unseen WHERE unseen.job_id = processing_jobs.id AND unseen.host = ?)
    ORDER BY priority DESC, created_at LIMIT ?"""  # noqa: S608 - of a constant
RUNG = f"""{SELECT} WHERE id = ? AND route = ? AND NOT EXISTS (
        SELECT 1 FROM unseen WHERE unseen.job_id = processing_jobs.id AND unseen.host = ?)"""  # noqa: S608
RING = """UPDATE processing_jobs SET rung_at = ledger_now() WHERE id IN (
        SELECT id FROM processing_jobs
        WHERE route = ? AND status IN ('QUEUED', 'COMPLETED')
            AND (rung_at IS NULL OR rung_at <= ledger_now() - ?)
            AND (completed_at IS NULL OR completed_at <= ledger_now() - ?)
        ORDER BY priority DESC, created_at LIMIT ?)
    RETURNING id, priority"""
UNRING = "UPDATE processing_jobs SET rung_at = NULL WHERE id = ?"
QUEUED = """SELECT priority, count(*), ledger_now() - min(created_at) FROM processing_jobs
    WHERE route = ? AND status = 'QUEUED' GROUP BY priority"""
HOLDERS = "SELECT DISTINCT worker_id FROM processing_jobs WHERE route = ? AND status = 'PROCESSING'"
NOTE_UNSEEN = """INSERT INTO unseen (job_id, host, reason, at) VALUES (?, ?, ?, ledger_now())
    ON CONFLICT (job_id, host) DO UPDATE SET reason = excluded.reason"""
UNSEEN = """SELECT job_id, host, reason, ledger_now() - at FROM unseen
    WHERE EXISTS (SELECT 1 FROM processing_jobs AS job
                  WHERE job.id = unseen.job_id AND job.route = ?
                    AND job.status IN ('QUEUED', 'COMPLETED'))
    ORDER BY job_id, at LIMIT ?"""


class SqlOrders:
    """An `OrderStore` in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seal = database.seal

    async def place(self, orders: Sequence[Order]) -> set[str]:
        placed: set[str] = set()
        for at in range(0, len(orders), _A_TRANSACTION):
            some = orders[at : at + _A_TRANSACTION]

            def write(db: Session, some: Sequence[Order] = some) -> set[str]:
                note_key(db, self._seal)
                return {order.id for order in some if _place(db, order, self._seal)}

            placed |= await self._database.write(write)
        return placed

    async def open(self, job_id: str) -> list[Order]:
        return [_order(row, self._seal) for row in await self._database.rows(OPEN, (job_id,))]

    async def waiting(self, job_ids: Collection[str]) -> set[str]:
        return {job_id for (job_id,) in await self._database.batched_rows(WAITING, [*job_ids])}

    async def find(self, order_ids: Collection[str]) -> dict[str, Order]:
        rows = await self._database.batched_rows(BY_IDS, [*order_ids])
        return {row[0]: _order(row, self._seal) for row in rows}

    async def close(self, ends: Sequence[OrderEnd]) -> None:
        def write(db: Session) -> None:
            note_key(db, self._seal)
            for end in ends:
                written = self._sealed_path(end.written)
                db.execute(CLOSE, (storable(end.error), written, end.order_id))
            for job_id in {end.job_id for end in ends}:
                update_route(db, job_id)

        if ends:
            await self._database.write(write)

    def _sealed_path(self, path: str | None) -> bytes | None:
        return None if path is None else self._seal.sealed(os.fsencode(path))

    async def close_all(self, job_id: str, error: str) -> None:
        await self._database.write(lambda db: close_orders(db, job_id, storable(error)))

    async def routed(
        self, route: str, status: JobStatus, host: str, limit: int, above: JobPriority | None = None
    ) -> list[Job]:
        values = (route, status, above or 0, CLOSING_S, host, limit)
        rows = await self._database.rows(ROUTED, values)
        jobs = JobRows(self._seal)
        return [jobs.job(row) for row in rows]

    async def rung(self, route: str, job_id: str, host: str) -> Job | None:
        rows = await self._database.rows(RUNG, (job_id, route, host))
        return JobRows(self._seal).job(rows[0]) if rows else None

    async def ring(self, route: str, lost_s: float, limit: int) -> list[tuple[str, JobPriority]]:
        def write(db: Session) -> list[tuple[str, JobPriority]]:
            rows = db.execute(RING, (route, lost_s, CLOSING_S, limit)).fetchall()
            return [(job_id, JobPriority(priority)) for job_id, priority in rows]

        return await self._database.write(write)

    async def unring(self, job_ids: Collection[str]) -> None:
        rows = [(job_id,) for job_id in job_ids]
        await self._database.write(lambda db: db.executemany(UNRING, rows))

    async def queued(self, route: str) -> dict[JobPriority, tuple[int, float]]:
        rows = await self._database.rows(QUEUED, (route,))
        return {JobPriority(priority): (count, oldest_s) for priority, count, oldest_s in rows}

    async def holders(self, route: str) -> set[str]:
        return {worker_id for (worker_id,) in await self._database.rows(HOLDERS, (route,))}

    async def note_unseen(self, job_id: str, host: str, reason: str) -> None:
        row = (job_id, host, storable(reason))
        await self._database.write(lambda db: db.execute(NOTE_UNSEEN, row))

    async def unseen(self, route: str, limit: int) -> list[NotSeen]:
        return [NotSeen(*row) for row in await self._database.rows(UNSEEN, (route, limit))]


def _place(db: Session, order: Order, seal: PayloadSeal) -> bool:
    """Place one order; False: its job was removed."""
    state = db.execute(JOB_STATE, (order.job_id,)).fetchone()
    if state is None:
        return False
    path, root = seal.sealed(os.fsencode(order.path)), seal.sealed(os.fsencode(order.root))
    outputs = seal.sealed_text(order.outputs)
    row = (order.id, order.job_id, path, root, outputs, order.route, int(order.force))
    db.execute(PLACE, row)
    db.execute(FORGET_UNSEEN, (order.job_id,))
    update_route(db, order.job_id)
    status, error = state
    if status == JobStatus.CANCELLED:
        close_orders(db, order.job_id, CANCELLED)
    elif status == JobStatus.FAILED:
        close_orders(db, order.job_id, error)
    return True


def _order(row: Sequence[Any], seal: PayloadSeal) -> Order:
    order_id, job_id, path, root, outputs, route, force, done_at, error, written = row
    return Order(
        order_id,
        job_id,
        os.fsdecode(seal.opened(path)),
        os.fsdecode(seal.opened(root)),
        seal.opened_text(outputs),
        route,
        bool(force),
        done_at,
        error,
        None if written is None else os.fsdecode(seal.opened(written)),
    )
