"""Database: units of work over a store, run by one thread that commits them in groups."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from enum import Enum
from itertools import groupby
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from msgspec import Struct

from sttbatch.core.errors import StateError
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.database.store_facts import Columns, Scan

T = TypeVar("T")

VALUES_A_QUERY = 500
_GROUP_LIMIT = 256


@runtime_checkable
class Rows(Protocol):
    """The result of a statement: rows, or the number of changed rows."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""For the placeholders of a statement, by position or by name."""


class Session(Protocol):
    """An open transaction, such as a `sqlite3.Connection`.

    Statements are valid in SQLite (3.40 and newer) and in PostgreSQL (15 and newer), with functions
    that every store defines: `ledger_now()` (seconds since the epoch), `local_day(at)` (YYYY-MM-DD)
    and `matches(expression, text)` (regular expression, for the whole text).
    """

    def execute(self, statement: str, values: Values = ..., /) -> Rows: ...
    def executemany(self, statement: str, rows: Iterable[Values], /) -> Rows: ...


Work: TypeAlias = Callable[[Session], T]
"""A unit of work: a synchronous function of an open transaction.

It may run several times before it is committed, so it must have no effect outside of the database.
"""


class Store(Protocol):
    """A database for the use of one thread, which calls `open` first."""

    @property
    def title(self) -> str:
        """Its name in messages."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """The exceptions that its library raises."""

    @property
    def advice(self) -> str:
        """What to look at after a fault, as the end of a message."""

    def reason(self, fault: Exception) -> str:
        """What a fault says."""

    def open(self) -> None:
        """Connect and migrate; raises StateError if a newer sttbatch wrote the file."""

    def transact(self, work: Work[T]) -> T:
        """Run `work` in an exclusive write transaction, and commit it."""

    def read(self, work: Work[T]) -> T:
        """Run `work`, which must not write."""

    def close(self) -> None: ...

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        """Damage; empty when everything is sound. `quick` checks less."""

    def rebuild_indexes(self) -> None:
        """Rebuild every index from its table."""

    def erase_on_delete(self) -> None:
        """Overwrite rows that are deleted from now on."""

    def vacuum(self) -> None:
        """Erase what is left of deleted rows in the files."""

    def size_bytes(self) -> int: ...

    def connections(self) -> Mapping[str, int]:
        """Figures of its pool, as psycopg_pool names them, from any thread; empty: it has none."""

    def describe(self) -> str:
        """Kind, version and settings, for `doctor`."""

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        """(number, key, value, SHA-256) of some cache entries after entry `number`, if any.

        Damaged keys and indexes hide no entry; values of a wrong type are None.
        """

    def drop_entries(self, numbers: Sequence[int]) -> None:
        """Delete cache entries by number."""

    def columns(self, table: str) -> Columns:
        """The columns of a table."""

    def scans(self, statement: str, values: Values = ()) -> list[Scan]:
        """The plan of a statement, which uses an index wherever there is one."""

    def objects(self) -> set[str]:
        """The names of tables, indexes and triggers."""

    def define(self, statement: str) -> None:
        """Execute a statement of a history's step."""

    def analyze(self) -> None:
        """Refresh the statistics of the query planner."""

    def after_copy(self, session: Session) -> None:
        """Have new rows numbered after those that were inserted with their numbers."""


class _Mode(Enum):
    WRITE = "in a transaction, together with its neighbours in the queue"
    READ = "in the group of its neighbours, which may be without a transaction"
    UPKEEP = "alone, outside of any transaction"


class _Task(Struct, frozen=True):
    run: Callable[[Any], Any]
    mode: _Mode
    future: Future[Any]


_TaskResult: TypeAlias = tuple[Any, Exception | None]


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
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
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
        future: Future[T] = Future()
        # Submitted work runs even if the caller is cancelled.
        future.set_running_or_notify_cancel()
        self._tasks.put(_Task(run, mode, future))
        return asyncio.wrap_future(future)

    def _serve(self, opened: Future[None], first: Work[object] | None) -> None:
        try:
            self._store.open()
            if first is not None:
                self._read_first(first)
        except BaseException as error:  # noqa: BLE001 - the constructor waits for it
            opened.set_exception(translated(self._store, error))
            return
        opened.set_result(None)
        is_open = True
        while is_open:
            tasks, is_open = self._drain()
            for is_upkeep, group in groupby(tasks, key=lambda task: task.mode is _Mode.UPKEEP):
                if is_upkeep:
                    for task in group:
                        self._resolve([task], [_run(task.run, self._store)])
                else:
                    self._commit(list(group))
        self._store.close()

    def _read_first(self, first: Work[object]) -> None:
        try:
            self._store.read(first)
        except BaseException:
            self._store.close()
            raise

    def _drain(self) -> tuple[list[_Task], bool]:
        """The queued tasks, in order, and whether more may follow."""
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
        except Exception as error:  # noqa: BLE001 - it is raised by those who await the futures
            outcomes = [(None, error)] * len(group)
        self._resolve(group, outcomes)

    def _resolve(self, group: list[_Task], outcomes: list[_TaskResult]) -> None:
        """Resolve futures, after the commit: no result may be rolled back later."""
        for task, (result, error) in zip(group, outcomes, strict=True):
            if error is None:
                task.future.set_result(result)
            else:
                task.future.set_exception(translated(self._store, error))


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


def _run_in_savepoint(run: Callable[[Session], Any], session: Session) -> _TaskResult:
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


def _run(run: Callable[[Any], Any], argument: object) -> _TaskResult:
    try:
        result = run(argument)
    except Exception as error:  # noqa: BLE001 - it is raised by the one who awaits the future
        return None, error
    if isinstance(result, Rows):
        # Freed in the caller's thread, a cursor would reset its statement while this thread may be
        # using the connection (SQLITE_MISUSE).
        result.close()
        return None, None
    return result, None
