"""Workers: the processes that share a ledger, and how they know which of them live."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sttbatch.core.errors import StateError
from sttbatch.database.database import Database
from sttbatch.database.private_files import private_folder
from sttbatch.database.session import Session
from sttbatch.queue.crash_recovery import ENDED, KILLED, requeue_orphans
from sttbatch.queue.liveness import hold, is_held, remove_if_left_behind, same_machine, this_machine

EXPIRY_S = 300.0
"""A worker on another machine counts as gone after this long without a heartbeat."""

HEARTBEAT_S = 60.0

_LOCKS = "locks"


@dataclass(frozen=True, slots=True)
class Worker:
    """A process; a row of `workers` for as long as it holds its lock file."""

    id: str
    host: str
    pid: int
    started_at: float

    @property
    def label(self) -> str:
        """For people."""
        return f"process {self.pid} on {self.host.rpartition(' ')[0]}"


class WorkerRegistry:
    """All workers of one data folder.

    Args:
        clock: seconds since the epoch.
        expiry_s: counts for workers on other machines only; here the lock file is asked.
        machine: which one this is.
    """

    def __init__(
        self,
        database: Database,
        data_folder: Path,
        *,
        clock: Callable[[], float] = time.time,
        expiry_s: float = EXPIRY_S,
        heartbeat_s: float = HEARTBEAT_S,
        machine: str | None = None,
    ) -> None:
        self._database = database
        self._locks = data_folder / _LOCKS
        self._clock = clock
        self._expiry_s = expiry_s
        self._heartbeat_s = heartbeat_s
        self._machine = this_machine() if machine is None else machine

    @contextlib.asynccontextmanager
    async def registered(self) -> AsyncIterator[Worker]:
        """This process as a worker; what it still holds at the end is free again.

        Raises:
            StateError: no lock can be had in the data folder.
        """
        private_folder(self._locks)
        pid = os.getpid()
        worker = Worker(f"{pid}-{secrets.token_hex(6)}", self._machine, pid, self._clock())
        descriptor = hold(self._lock(worker.id), self._machine)
        try:
            await self._database.write(lambda db: self._enlist(db, worker))
            beating = asyncio.create_task(self._beat(worker))
            try:
                yield worker
            finally:
                beating.cancel()
                # Where that cannot be written, whoever comes next finds the lock free.
                with contextlib.suppress(StateError):
                    await self._database.write(
                        lambda db: requeue_orphans(db, worker.id, ENDED, self._clock())
                    )
        finally:
            self._lock(worker.id).unlink(missing_ok=True)
            os.close(descriptor)

    async def sweep(self) -> None:
        """Free what dead workers held, and remove their rows and lock files."""
        await self._database.write(self._sweep)

    async def living(self, worker_ids: Collection[str]) -> dict[str, Worker]:
        """Those of these workers that are alive, by id."""

        def read(db: Session) -> dict[str, Worker]:
            alive = [each for each in worker_ids if self.is_alive(db, each)]
            rows = [self.worker(db, each) for each in alive]
            return {row.id: row for row in rows if row is not None}

        return await self._database.read(read)

    def is_alive(self, db: Session, worker_id: str) -> bool:
        """Whether a worker lives: here by its lock, elsewhere by its heartbeat.

        Raises:
            StateError: its lock file cannot be examined.
        """
        if is_held(self._lock(worker_id)):
            return True
        row = db.execute(
            "SELECT host, heartbeat_at FROM workers WHERE id = ?", (worker_id,)
        ).fetchone()
        if row is None or same_machine(row[0], self._machine):
            return False
        return bool(self._clock() - row[1] < self._expiry_s)

    def touch(self, db: Session, worker: Worker) -> None:
        """Heartbeat; brings back the row of one that others, on other machines, gave up."""
        db.execute(
            """INSERT INTO workers (id, host, pid, started_at, heartbeat_at)
               VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at""",
            (worker.id, worker.host, worker.pid, worker.started_at, self._clock()),
        )

    async def reap(self, worker_id: str) -> None:
        """Free what a dead worker held."""
        await self._database.write(lambda db: self.reap_now(db, worker_id))

    def reap_now(self, db: Session, worker_id: str) -> None:
        """The same in the transaction of `db`."""
        requeue_orphans(db, worker_id, KILLED, self._clock())
        remove_if_left_behind(self._lock(worker_id), self._machine)

    def worker(self, db: Session, worker_id: str) -> Worker | None:
        row = db.execute(
            "SELECT id, host, pid, started_at FROM workers WHERE id = ?", (worker_id,)
        ).fetchone()
        return Worker(*row) if row is not None else None

    def _enlist(self, db: Session, worker: Worker) -> None:
        self.touch(db, worker)
        self._sweep(db)

    def _sweep(self, db: Session) -> None:
        known = [worker_id for (worker_id,) in db.execute("SELECT id FROM workers")]
        for worker_id in known:
            if not self.is_alive(db, worker_id):
                self.reap_now(db, worker_id)
        for path in self._locks.glob("*.lock"):
            if path.stem not in known:
                remove_if_left_behind(path, self._machine)

    async def _beat(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            # A ledger that cannot be written ends the run through what the run itself writes.
            with contextlib.suppress(StateError):
                await self._database.write(lambda db: self.touch(db, worker))

    def _lock(self, worker_id: str) -> Path:
        return self._locks / f"{worker_id}.lock"
