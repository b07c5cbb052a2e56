"""LedgerWorkers: the processes that share a ledger, and the reaping of dead ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sttbatch.core.engine import FREE_ENGINES
from sttbatch.core.jobs import Worker, WorkerLoad, WorkerState
from sttbatch.database.database import Database
from sttbatch.database.store import Session

KILLED = "the run that sent it was killed"
ENDED = "the run that sent it ended before the answer came"

_SELECT = """SELECT id, host, pid, started_at, ledger_now() - heartbeat_at,
    lanes, busy_lanes, recordings, state, route FROM workers"""
FREE = ", ".join(f"'{engine}'" for engine in sorted(FREE_ENGINES))
"""SQL list of the free engines, without its brackets."""

_BY_IDS = f"{_SELECT} WHERE id IN (?*)"
BEAT = "UPDATE workers SET heartbeat_at = ledger_now() WHERE id = ?"
_LOAD = """UPDATE workers SET lanes = ?, busy_lanes = ?, recordings = ?, state = ?, route = ?
    WHERE id = ?"""
_REGISTER = """INSERT INTO workers (id, host, pid, started_at, heartbeat_at)
    VALUES (?, ?, ?, coalesce(?, ledger_now()), ledger_now()) RETURNING started_at"""
# Reservations become requests, as the endpoint may bill them; they count for the day of the claim.
_BOOK_ORPHANS = f"""INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error,
        latency_s, quantity, unit, sent_bytes, cost, maybe_paid)
    SELECT started_at, chunk_key, engine, model, retry_count + 1, NULL, ?,
           0.0, quantity, unit, 0, reserved_cost, CASE WHEN engine IN ({FREE}) THEN 0 ELSE 1 END
    FROM chunk_tasks WHERE status = 'PROCESSING' AND worker_id = ?"""  # noqa: S608 - of constants
CLOSE_CHUNKS = """UPDATE chunk_tasks
    SET status = 'FAILED', reserved_cost = 0, completed_at = ledger_now(), error_message = ?
    WHERE status = 'PROCESSING' AND worker_id = ?"""
_END_ATTEMPTS = """UPDATE processing_tasks SET status = 'RELEASED', completed_at = ledger_now()
    WHERE status = 'PROCESSING' AND worker_id = ?"""
REQUEUE = """UPDATE processing_jobs SET status = 'QUEUED', worker_id = NULL, started_at = NULL
    WHERE worker_id = ?"""
_REMOVE = "DELETE FROM workers WHERE id = ?"


class LedgerWorkers:
    """A `WorkerStore` in the ledger; times are by the ledger's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, worker_id: str, host: str, pid: int) -> Worker:
        row = (worker_id, host, pid, None)
        ((started_at,),) = await self._database.write(
            lambda db: db.execute(_REGISTER, row).fetchall()
        )
        return Worker(worker_id, host, pid, started_at)

    async def heartbeat(self, worker: Worker, load: WorkerLoad | None = None) -> bool:
        return await self._database.write(lambda db: heartbeat(db, worker, load))

    async def tell(self, worker_id: str, load: WorkerLoad) -> None:
        await self._database.write(lambda db: _tell(db, worker_id, load))

    async def reap(self, worker_id: str, *, killed: bool) -> None:
        reason = KILLED if killed else ENDED

        def write(db: Session) -> None:
            db.execute(_BOOK_ORPHANS, (reason, worker_id))
            db.execute(CLOSE_CHUNKS, (reason, worker_id))
            for statement in (_END_ATTEMPTS, REQUEUE, _REMOVE):
                db.execute(statement, (worker_id,))

        await self._database.write(write)

    async def find(self, worker_ids: Collection[str]) -> dict[str, Worker]:
        rows = await self._database.batched_rows(_BY_IDS, [*worker_ids])
        return {row[0]: _worker(row) for row in rows}

    async def list(self) -> list[Worker]:
        return await self._database.read(read_workers)


def read_workers(db: Session) -> list[Worker]:
    """As `LedgerWorkers.list`, within the caller's transaction."""
    return [_worker(row) for row in db.execute(_SELECT).fetchall()]


def heartbeat(db: Session, worker: Worker, load: WorkerLoad | None = None) -> bool:
    """As `LedgerWorkers.heartbeat`, within the caller's transaction."""
    is_known = beat(db, worker.id)
    if not is_known:
        db.execute(_REGISTER, (worker.id, worker.host, worker.pid, worker.started_at)).fetchall()
    if load is not None:
        _tell(db, worker.id, load)
    return is_known


def beat(db: Session, worker_id: str) -> bool:
    """Record that a worker is alive, within the caller's transaction. False: it was reaped."""
    return db.execute(BEAT, (worker_id,)).rowcount > 0


def _tell(db: Session, worker_id: str, load: WorkerLoad) -> None:
    values = (load.lanes, load.busy_lanes, load.recordings, load.state, load.route)
    db.execute(_LOAD, (*values, worker_id))


def _worker(row: Sequence[Any]) -> Worker:
    worker_id, host, pid, started_at, silent_s, lanes, busy_lanes, recordings, state, route = row
    load = WorkerLoad(lanes, busy_lanes, recordings, WorkerState(state), route)
    return Worker(worker_id, host, pid, started_at, silent_s, load)


def storable(text: str | None) -> str | None:
    """Text that every database accepts: names in it need not be UTF-8, and may contain NUL."""
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")
