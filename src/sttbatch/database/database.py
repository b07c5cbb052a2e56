"""What statements run in, and the thread that commits what has queued up in one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from sttbatch.core.errors import StateError

T = TypeVar("T")

VALUES_A_QUERY = 500
_GROUP_LIMIT = 256


@runtime_checkable
class Rows(Protocol):
    """What a statement brought: rows, or how many rows it changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


class Session(Protocol):
    """An open transaction; `sqlite3.Connection` is one as it is.

    Statements are in words that SQLite (3.40 and newer) and PostgreSQL (15 and newer) both take.
    What has no common spelling is a function that every store defines: `ledger_now()` (seconds
    since the epoch), `local_day(at)` (YYYY-MM-DD) and `matches(pattern, text)` (shell pattern).
    """

    def execute(
        self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ..., /
    ) -> Rows: ...

    def executemany(
        self, statement: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> Rows: ...


Work: TypeAlias = Callable[[Session], T]
"""A unit of work: a synchronous function of an open transaction.

It may run more than once until it is committed, so it has no effect outside of the database.
"""


class Store(Protocol):
    """A database as one thread uses it; all methods but `open` come after `open`."""

    @property
    def title(self) -> str:
        """What messages call it."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What its library raises."""

    def open(self) -> None:
        """Connect, and bring the tables to their newest shape.

        Raises:
            StateError: it was written by a newer sttbatch, or cannot be locked.
        """

    def transact(self, work: Work[T]) -> T:
        """Run `work` in a transaction that no other writer overlaps, and commit it."""

    def read(self, work: Work[T]) -> T:
        """Run `work`, which must not write."""

    def close(self) -> None: ...

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        """What is damaged; empty when everything is sound. `quick` looks at less."""

    def rebuild_indexes(self) -> None:
        """Make every index again from its table; tables cannot be made again."""

    def erase_on_delete(self) -> None:
        """Overwrite what is deleted from now on."""

    def vacuum(self) -> None:
        """Leave no byte of deleted rows in the files."""

    def size_bytes(self) -> int:
        """Size of its files."""

    def describe(self) -> str:
        """Kind, version and settings, for `doctor`."""

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        """The cache entries after entry `number`, as they lie on the disk.

        Returns (number, key, value, SHA-256); what is not of its column's type is None. A damaged
        key or index hides none of them.
        """

    def drop_entries(self, numbers: Sequence[int]) -> None:
        """Delete cache entries by their number."""


class _Mode(Enum):
    WRITE = "in a transaction, together with its neighbours in the queue"
    READ = "beside them"
    UPKEEP = "by itself, outside of any transaction"


@dataclass(frozen=True, slots=True)
class _Task:
    run: Callable[[Any], Any]
    mode: _Mode
    future: Future[Any]


_Outcome: TypeAlias = tuple[Any, Exception | None]


class Database:
    """Units of work over a store. What `write` wrote is on the disk; work to `read` must not write.

    Raises:
        StateError: the store cannot be opened, is damaged, or was written by a newer sttbatch.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.title = store.title
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(opened,), name=f"database {store.title}", daemon=True
        )
        self._thread.start()
        opened.result()

    async def write(self, work: Work[T]) -> T:
        return await self._submit(work, _Mode.WRITE)

    async def read(self, work: Work[T]) -> T:
        return await self._submit(work, _Mode.READ)

    async def maintain(self, upkeep: Callable[[Store], T]) -> T:
        """Run what may not, or need not, stand in a transaction."""
        return await self._submit(upkeep, _Mode.UPKEEP)

    async def rows(
        self, query: str, values: Sequence[object] | Mapping[str, object] = ()
    ) -> list[Any]:
        return await self.read(lambda session: session.execute(query, values).fetchall())

    async def batched_rows(
        self, query: str, values: Sequence[object], *others: object
    ) -> list[Any]:
        """The rows of `query` for all `values`, a few hundred at a time.

        `query` has `IN (?*)` once or more, each time for the same values; `others` are those of
        the marks behind them.
        """
        rows: list[Any] = []
        for at in range(0, len(values), VALUES_A_QUERY):
            batch = tuple(values[at : at + VALUES_A_QUERY])
            row = batch * query.count("?*") + others
            rows += await self.rows(expand(query, len(batch)), row)
        return rows

    def close(self) -> None:
        """Commit what is queued and close the store."""
        self._tasks.put(None)
        self._thread.join()

    def _submit(self, run: Callable[[Any], T], mode: _Mode) -> asyncio.Future[T]:
        future: Future[T] = Future()
        # What was handed over is done even if the one who awaits it is cancelled.
        future.set_running_or_notify_cancel()
        self._tasks.put(_Task(run, mode, future))
        return asyncio.wrap_future(future)

    def _serve(self, opened: Future[None]) -> None:
        try:
            self._store.open()
        except BaseException as error:  # noqa: BLE001 - whoever opens it would wait for ever
            opened.set_exception(self._translated(error))
            return
        opened.set_result(None)
        going_on = True
        while going_on:
            tasks, going_on = self._drain()
            for is_upkeep, group in groupby(tasks, key=lambda task: task.mode is _Mode.UPKEEP):
                if is_upkeep:
                    for task in group:
                        self._tell([task], [_run(task.run, self._store)])
                else:
                    self._commit(list(group))
        self._store.close()

    def _drain(self) -> tuple[list[_Task], bool]:
        """What has queued up, in order, and whether more may come."""
        tasks: list[_Task] = []
        while (task := self._tasks.get()) is not None:
            tasks.append(task)
            if len(tasks) == _GROUP_LIMIT or self._tasks.empty():
                return tasks, True
        return tasks, False

    def _commit(self, group: list[_Task]) -> None:
        try:
            if any(task.mode is _Mode.WRITE for task in group):
                outcomes = self._store.transact(
                    lambda session: [_run_in_savepoint(task.run, session) for task in group]
                )
            else:
                outcomes = self._store.read(
                    lambda session: [_run(task.run, session) for task in group]
                )
        except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the futures
            outcomes = [(None, error)] * len(group)
        self._tell(group, outcomes)

    def _tell(self, group: list[_Task], outcomes: list[_Outcome]) -> None:
        """Resolve futures, after the commit: what was given out must not be rolled back."""
        for task, (result, error) in zip(group, outcomes, strict=True):
            if error is None:
                task.future.set_result(result)
            else:
                task.future.set_exception(self._translated(error))

    def _translated(self, error: BaseException) -> BaseException:
        """What the store's library raised, as a `StateError`; other errors stay as they are."""
        if not isinstance(error, self._store.faults):
            return error
        translated = StateError(
            f"{self.title}: {error}. Is the disk full, or the file damaged? "
            "`sttbatch doctor` tells more"
        )
        translated.__cause__ = error
        return translated


def expand(statement: str, count: int) -> str:
    """`statement` with a mark for each of `count` values in place of `?*`."""
    return statement.replace("?*", ", ".join("?" * count))


def _run_in_savepoint(run: Callable[[Session], Any], session: Session) -> _Outcome:
    """A unit of work that fails takes no other in its transaction with it."""
    session.execute("SAVEPOINT task")
    result, error = _run(run, session)
    if error is not None:
        try:
            session.execute("ROLLBACK TO task")
        except Exception:  # noqa: BLE001 - the whole transaction is gone, as after a full disk
            raise error from None
    session.execute("RELEASE task")
    return result, error


def _run(run: Callable[[Any], Any], argument: object) -> _Outcome:
    try:
        result = run(argument)
    except Exception as error:  # noqa: BLE001 - it belongs to whoever awaits the future
        return None, error
    if isinstance(result, Rows):
        # A cursor that is freed in the caller's thread resets its statement while this thread may
        # be using the connection (SQLITE_MISUSE), so none leaves it.
        result.close()
        return None, None
    return result, None
