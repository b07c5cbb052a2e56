"""One SQLite file behind one thread, which commits what has queued up in one transaction."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from sttbatch.core.errors import StateError
from sttbatch.database.ledger_migrations import migrate
from sttbatch.database.private_files import locked, private_file

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Migrate: TypeAlias = Callable[[sqlite3.Connection], None]
Synchronous: TypeAlias = Literal["FULL", "NORMAL"]

_GROUP_LIMIT = 256

# Where a damaged schema makes SQLite complain in bytes that are no text, Python raises the second.
_FAULTS = (sqlite3.Error, UnicodeDecodeError)


def journal_mode() -> str:
    """WAL where its checkpoint race is fixed (SQLite 3.51.3), a rollback journal before."""
    return "WAL" if sqlite3.sqlite_version_info >= (3, 51, 3) else "TRUNCATE"


def connect(path: Path, synchronous: Synchronous = "FULL") -> sqlite3.Connection:
    """Open `path` as every part of sttbatch does; transactions are begun explicitly."""
    connection = sqlite3.connect(private_file(path), timeout=30.0, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal_mode()}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@dataclass(slots=True)
class _Task:
    work: Work[Any]
    writes: bool
    future: Future[Any]
    result: Any = None


class Database:
    """The ledger, or another file of state. `write` returns when what was written is on the disk.

    Args:
        migrate: brings the file to its newest shape.
        synchronous: NORMAL for what may be lost when the power fails.

    Raises:
        StateError: the file cannot be opened, is damaged, or was written by a newer sttbatch.
    """

    def __init__(
        self, path: Path, migrate: Migrate = migrate, synchronous: Synchronous = "FULL"
    ) -> None:
        self.path = path
        self._migrate = migrate
        self._synchronous: Synchronous = synchronous
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name=f"sqlite {path.name}", daemon=True
        )
        self._thread.start()
        opened.result()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction that is committed when this returns."""
        return await asyncio.wrap_future(self._submit(work, writes=True))

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which must not write."""
        return await asyncio.wrap_future(self._submit(work, writes=False))

    def close(self) -> None:
        """Commit what is queued and close the file."""
        self._tasks.put(None)
        self._thread.join()

    def _submit(self, work: Work[T], *, writes: bool) -> Future[T]:
        future: Future[T] = Future()
        # What was handed over is done even if the one who awaits it is cancelled.
        future.set_running_or_notify_cancel()
        self._tasks.put(_Task(work, writes, future))
        return future

    def _serve(self, opened: Future[None]) -> None:
        try:
            connection = connect(self.path, self._synchronous)
            with locked(self.path.with_suffix(".lock")):
                self._migrate(connection)
        except _FAULTS as error:
            opened.set_exception(self._translated(error))
            return
        except BaseException as error:  # noqa: BLE001 - whoever opens it would wait for ever
            opened.set_exception(error)
            return
        opened.set_result(None)
        going_on = True
        while going_on:
            group, going_on = self._next_group()
            self._commit(connection, group)
        connection.close()

    def _next_group(self) -> tuple[list[_Task], bool]:
        task = self._tasks.get()
        group: list[_Task] = []
        while task is not None:
            group.append(task)
            if len(group) == _GROUP_LIMIT or self._tasks.empty():
                return group, True
            task = self._tasks.get()
        return group, False

    def _commit(self, connection: sqlite3.Connection, group: list[_Task]) -> None:
        """Each task in a savepoint of its own: one that fails takes no other with it."""
        done: list[_Task] = []
        try:
            writes = any(task.writes for task in group)
            if writes:
                connection.execute("BEGIN IMMEDIATE")
            done += [task for task in group if self._run(connection, task, savepoint=writes)]
            if writes:
                connection.execute("COMMIT")
        except _FAULTS as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for task in group:
                if not task.future.done():
                    task.future.set_exception(self._translated(error))
            return
        for task in done:
            task.future.set_result(task.result)

    def _run(self, connection: sqlite3.Connection, task: _Task, *, savepoint: bool) -> bool:
        if savepoint:
            connection.execute("SAVEPOINT task")
        try:
            result = task.work(connection)
            # A cursor that is freed in the caller's thread resets its statement while this thread
            # may be using the connection (SQLITE_MISUSE), so none leaves it.
            if isinstance(result, sqlite3.Cursor):
                result.close()
                result = None
            task.result = result
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the future
            if savepoint and connection.in_transaction:
                connection.execute("ROLLBACK TO task")
            is_sqlite = isinstance(error, _FAULTS)
            task.future.set_exception(self._translated(error) if is_sqlite else error)
            return False
        finally:
            if savepoint and connection.in_transaction:
                connection.execute("RELEASE task")
        return True

    def _translated(self, error: BaseException) -> StateError:
        translated = StateError(
            f"{self.path}: {error}. Is the disk full, or the file damaged? "
            "`sttbatch doctor` tells more"
        )
        translated.__cause__ = error
        return translated
