"""Database: units of work over a store, run by one thread that commits them in groups."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from itertools import groupby
from typing import Any, TypeVar

from sttbatch.core.errors import StateError
from sttbatch.core.threads import Call, ResultOrError, drain, settle
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.database.store import Session, Store, Work

T = TypeVar("T")

VALUES_A_QUERY = 500
COMMIT_DELAY_S = 0.003
"""How long a commit waits for further writes while several are made at a time, as PostgreSQL's
`commit_delay` does: each commit flushes the disk."""

COMMITS_DELAYED = 10
"""How many commits wait after one that had several writes."""


class _Mode(Enum):
    WRITE = "in a transaction, together with its neighbours in the queue"
    READ = "in the group of its neighbours, which may be without a transaction"
    UPKEEP = "alone, outside of any transaction"


class _Task(Call[T]):
    __slots__ = ("mode",)

    def __init__(self, work: Callable[[Any], T], mode: _Mode) -> None:
        super().__init__(work)
        self.mode = mode


class Database:
    """Runs units of work over a store; `write` returns when the data is on the disk.

    `seal` is for what jobs are asked to do. `first` is read before anything else, and what it
    raises is raised.

    Raises StateError if the store cannot be opened, is damaged, or a newer sttbatch wrote it.
    """

    def __init__(
        self, store: Store, seal: PayloadSeal = PLAIN, first: Work[object] | None = None
    ) -> None:
        self._store = store
        self.seal = seal
        self.title = store.title
        self._tasks: queue.SimpleQueue[_Task[Any] | None] = queue.SimpleQueue()
        # How many of the next commits wait for further writes.
        self._delays_left = 0
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened, first), name=f"database {store.title}", daemon=True
        )
        self._thread.start()
        opened.result()

    async def write(self, work: Work[T]) -> T:
        return await self._submit(work, _Mode.WRITE)

    async def read(self, work: Work[T]) -> T:
        return await self._submit(work, _Mode.READ)

    async def maintain(self, upkeep: Callable[[Store], T]) -> T:
        """Run an operation of the store outside of any transaction."""
        return await self._submit(upkeep, _Mode.UPKEEP)

    async def rows(
        self, query: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Any]:
        return await self.read(lambda session: session.execute(query, values).fetchall())

    async def batched_rows(
        self, query: str, values: Sequence[object], *others: object
    ) -> list[Any]:
        """The rows of `query` for all `values`, with a few hundred values a query.

        Each `IN (?*)` in `query` stands for the values; `others` are for the placeholders after.
        """
        rows: list[Any] = []
        for at in range(0, len(values), VALUES_A_QUERY):
            batch = tuple(values[at : at + VALUES_A_QUERY])
            row = batch * query.count("?*") + others
            rows += await self.rows(expand(query, len(batch)), row)
        return rows

    def connections(self) -> Mapping[str, int]:
        return self._store.connections()

    def close(self) -> None:
        """Commit what is queued and close the store."""
        self._tasks.put(None)
        self._thread.join()

    def _submit(self, run: Callable[[Any], T], mode: _Mode) -> asyncio.Future[T]:
        # Submitted work runs even if the caller is cancelled.
        task = _Task(run, mode)
        self._tasks.put(task)
        return task.future

    def _serve(self, opened: Future[None], first: Work[object] | None) -> None:
        try:
            self._store.open()
            if first is not None:
                self._read_first(first)
        except BaseException as error:  # noqa: BLE001 - the constructor waits for it
            opened.set_exception(translated(self._store, error))
            return
        opened.set_result(None)
        while self._serve_some():
            # Nothing is kept while it waits.
            pass
        self._store.close()

    def _serve_some(self) -> bool:
        """Run the tasks that are queued; returns whether more may follow."""
        tasks, is_open = self._drain()
        for is_upkeep, group in groupby(tasks, key=lambda task: task.mode is _Mode.UPKEEP):
            if is_upkeep:
                for task in group:
                    self._resolve([task], [_run(task.work, self._store)])
            else:
                self._commit(list(group))
        return is_open

    def _read_first(self, first: Work[object]) -> None:
        try:
            self._store.read(first)
        except BaseException:
            self._store.close()
            raise

    def _drain(self) -> tuple[list[_Task[Any]], bool]:
        """The queued tasks, in order, and whether more may follow."""
        tasks, is_open = drain(self._tasks)
        if is_open and self._delays_left and any(task.mode is _Mode.WRITE for task in tasks):
            time.sleep(COMMIT_DELAY_S)
            if not self._tasks.empty():
                more, is_open = drain(self._tasks)
                tasks += more
        return tasks, is_open

    def _commit(self, group: list[_Task[Any]]) -> None:
        try:
            writes = sum(task.mode is _Mode.WRITE for task in group)
            if writes:
                self._delays_left = COMMITS_DELAYED if writes > 1 else max(0, self._delays_left - 1)
                outcomes = self._store.transact(
                    lambda session: [_run_in_savepoint(task.work, session) for task in group]
                )
            else:
                outcomes = self._store.read(
                    lambda session: [_run(task.work, session) for task in group]
                )
        except Exception as error:  # noqa: BLE001 - it is raised by those who await the futures
            outcomes = [(None, error)] * len(group)
        self._resolve(group, outcomes)

    def _resolve(self, group: list[_Task[Any]], outcomes: list[ResultOrError]) -> None:
        """Resolve futures, after the commit: no result may be rolled back later."""
        settle(
            (task, (result, None if error is None else translated(self._store, error)))
            for task, (result, error) in zip(group, outcomes, strict=True)
        )


def translated(store: Store, error: BaseException) -> BaseException:
    """A fault of the store's library as a `StateError`; any other error unchanged."""
    if not isinstance(error, store.faults):
        return error
    reason = " ".join(store.reason(error).split())
    fault = StateError(f"{store.title}: {reason}. {store.advice}")
    fault.__cause__ = error
    return fault


def expand(statement: str, count: int) -> str:
    """`statement` with `count` placeholders in place of `?*`; `IN (?*)` of none finds nothing."""
    # PostgreSQL does not take `IN ()`.
    return statement.replace("?*", ", ".join("?" * count) or "NULL")


def _run_in_savepoint(run: Callable[[Session], Any], session: Session) -> ResultOrError:
    """Run a unit of work, whose failure rolls back nothing else of the transaction."""
    session.execute("SAVEPOINT task")
    result, error = _run(run, session)
    if error is not None:
        try:
            session.execute("ROLLBACK TO task")
        except Exception:  # noqa: BLE001 - the whole transaction has failed, as on a full disk
            raise error from None
    session.execute("RELEASE task")
    return result, error


def _run(run: Callable[[Any], Any], argument: object) -> ResultOrError:
    try:
        result = run(argument)
    except Exception as error:  # noqa: BLE001 - it is raised by the one who awaits the future
        return None, error
    # Looking for a method takes a tenth of the time that an isinstance of a protocol does.
    if hasattr(result, "fetchone"):
        # Freed in the caller's thread, a cursor would reset its statement while this thread may be
        # using the connection (SQLITE_MISUSE).
        result.close()
        return None, None
    return result, None
