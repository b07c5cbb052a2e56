"""ChunkClaims: each chunk is sent by one process, and what it may cost is reserved before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from sttbatch.core.jobs import Claim, Worker
from sttbatch.database.database import Database
from sttbatch.database.session import Session
from sttbatch.database.workers import heartbeat, storable
from sttbatch.queue.budgets import Budgets, OverBudget, over_budget
from sttbatch.queue.polling import Pace
from sttbatch.queue.worker import WorkerRegistry


@dataclass(frozen=True, slots=True)
class Granted:
    """This chunk is ours to send; its cost is reserved until `close`."""

    chunk_key: str
    task_id: int
    worker_id: str


@dataclass(frozen=True, slots=True)
class HeldBy:
    """A living process, possibly this one in another lane, is sending it."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Its answer was stored since it was looked up."""


Answers = Callable[[Session, str], bool]
"""Whether the answer of a chunk key is stored."""


class ChunkClaims:
    """The chunks that one worker sends for one engine and model.

    Args:
        clock: seconds since the epoch; days and months of budgets follow it.
    """

    def __init__(
        self,
        database: Database,
        workers: WorkerRegistry,
        worker: Worker,
        *,
        engine: str,
        model: str,
        budgets: Budgets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._workers = workers
        self._worker = worker
        self._engine = engine
        self._model = model
        self._budgets = budgets or Budgets()
        self._clock = clock

    async def claim(
        self,
        chunk_key: str,
        claim: Claim,
        index: int,
        audio_s: float,
        cost: float,
        answered: Answers | None = None,
        along: Callable[[Session], object] = lambda _: None,
    ) -> Granted | Answered | HeldBy | OverBudget:
        """Reserve the right to send a chunk of a claimed job, and its `cost`; one transaction.

        `answered` is asked in the same transaction, so that an answer that came since the caller
        looked is not paid for again; None: send it whether it is stored or not. What a dead
        worker reserved for it stays spent, as a request that was maybe paid. What `along` writes
        is written whatever the answer is. Cancelled, it holds nothing.
        """
        granted: Granted | None = None

        def write(db: Session) -> Granted | Answered | HeldBy | OverBudget:
            along(db)
            if answered is not None and answered(db, chunk_key):
                return Answered()
            holder = _holder(db, chunk_key)
            if holder is not None:
                return HeldBy(holder)
            over = over_budget(db, self._budgets, cost, self._clock())
            if over is not None:
                return over
            heartbeat(db, self._worker)
            nonlocal granted
            granted = self._grant(db, chunk_key, claim, index, audio_s, cost)
            return granted

        def undo(db: Session) -> None:
            if granted is not None:
                self.close(db, granted, "cancelled before it was sent")

        try:
            while isinstance(
                claimed := await self._database.write(write), HeldBy
            ) and await self._workers.reap_if_dead(claimed.worker_id):
                pass
        except asyncio.CancelledError:
            # What was handed over is written all the same, before this is.
            await self._database.write(undo)
            raise
        return claimed

    def close(self, db: Session, granted: Granted, error: str | None = None) -> bool:
        """End a claim and drop its reservation, in the transaction that stores answer and post.

        `error` says why there is no answer; None: there is one.

        Returns:
            False: the claim was lost to another worker, whose reservation stays.
        """
        closed = db.execute(
            """UPDATE chunk_tasks SET status = ?, reserved_cost = 0, completed_at = ?,
                                      error_message = ?
               WHERE chunk_key = ? AND status = 'PROCESSING' AND task_id = ? AND worker_id = ?""",
            (
                "COMPLETED" if error is None else "FAILED",
                self._clock(),
                storable(error),
                granted.chunk_key,
                granted.task_id,
                granted.worker_id,
            ),
        ).rowcount
        if closed and error is None:
            db.execute(
                """UPDATE processing_tasks SET completed_chunks = completed_chunks + 1
                   WHERE id = ?""",
                (granted.task_id,),
            )
        return bool(closed)

    async def give_up(self, granted: Granted, error: str) -> bool:
        """End a claim whose posts, if there were any, are recorded already."""
        return await self._database.write(lambda db: self.close(db, granted, error))

    async def wait_until_closed(
        self, chunk_key: str, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """Return once no living process sends it any more, or `stopping` says so."""
        pace = Pace()
        while not stopping() and await self._is_held(chunk_key):
            await pace.pause()

    async def _is_held(self, chunk_key: str) -> bool:
        holder = await self._database.read(lambda db: _holder(db, chunk_key))
        return holder is not None and await self._workers.is_alive(holder)

    def _grant(
        self,
        db: Session,
        chunk_key: str,
        claim: Claim,
        index: int,
        audio_s: float,
        cost: float,
    ) -> Granted:
        row = (
            chunk_key,
            claim.task_id,
            self._worker.id,
            self._engine,
            self._model,
            index,
            cost,
            audio_s,
            self._clock(),
        )
        db.execute(
            """INSERT INTO chunk_tasks (chunk_key, task_id, worker_id, engine, model, chunk_index,
                                        reserved_cost, quantity, started_at, status)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'PROCESSING')
               ON CONFLICT (chunk_key) DO UPDATE SET
                   task_id = excluded.task_id, worker_id = excluded.worker_id,
                   engine = excluded.engine, model = excluded.model,
                   chunk_index = excluded.chunk_index, reserved_cost = excluded.reserved_cost,
                   quantity = excluded.quantity, started_at = excluded.started_at,
                   retry_count = retry_count + (status = 'FAILED'),
                   status = 'PROCESSING', completed_at = NULL, error_message = NULL""",
            row,
        )
        db.execute(
            "UPDATE processing_tasks SET total_chunks = total_chunks + 1 WHERE id = ?",
            (claim.task_id,),
        )
        return Granted(chunk_key, claim.task_id, self._worker.id)


def _holder(db: Session, chunk_key: str) -> str | None:
    row = db.execute(
        "SELECT worker_id FROM chunk_tasks WHERE chunk_key = ? AND status = 'PROCESSING'",
        (chunk_key,),
    ).fetchone()
    return str(row[0]) if row is not None else None
