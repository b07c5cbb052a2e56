"""The databases that the suites of all stores run over."""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg

from sttbatch.core.ports import RateStore
from sttbatch.database.database import Database
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.migrations import History
from sttbatch.database.opening import open_search
from sttbatch.database.payload_seal import PLAIN, PayloadSeal
from sttbatch.database.postgresql import PostgreSQLStore, taking_lock
from sttbatch.database.postgresql_schema import in_postgresql
from sttbatch.database.rates import RATES_HISTORY, InMemoryRates, SharedRates, SqliteRates
from sttbatch.database.sealing import check_keys
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.database.sqlite_file import SqliteFile, connect
from sttbatch.database.store import Rows, Session, Store, Values, Work
from sttbatch.database.store_facts import Scan
from tests.database import sqlite
from tests.database.postgresql import VARIABLE

T = TypeVar("T")
Clock: TypeAlias = Callable[[], float]
Statement: TypeAlias = tuple[str, Values]


class Backend(abc.ABC):
    """How state in a folder is opened in one kind of database, and what tests ask of it."""

    @abc.abstractmethod
    def store(self, folder: Path, history: History, clock: Clock) -> Store: ...

    @abc.abstractmethod
    def open_rates(self, folder: Path, clock: Clock) -> RateStore: ...

    @abc.abstractmethod
    def open_search(self, folder: Path) -> SqlSearchIndex: ...

    @abc.abstractmethod
    def rows(self, folder: Path, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of the ledger, by a reader of its own."""

    @abc.abstractmethod
    def locked(self, folder: Path) -> contextlib.AbstractContextManager[None]:
        """Nobody writes to the ledger meanwhile."""

    @abc.abstractmethod
    def traced(self, database: Database) -> contextlib.AbstractAsyncContextManager[list[Statement]]:
        """What is executed within."""

    @abc.abstractmethod
    async def refuse(self, database: Database, event: str, message: str) -> None:
        """Refuse an event, such as BEFORE INSERT ON runs, until it is allowed."""

    @abc.abstractmethod
    async def allow(self, database: Database) -> None: ...

    async def scans(self, database: Database, query: str, values: Values = ()) -> list[Scan]:
        """The plan of a statement."""
        return await database.maintain(lambda store: store.scans(query, values))

    @contextlib.contextmanager
    def opened(self, folder: Path, history: History) -> Iterator[Store]:
        """The store of this thread."""
        store = self.store(folder, history, time.time)
        store.open()
        with contextlib.closing(store):
            yield store

    def open_ledger(self, folder: Path, clock: Clock, seal: PayloadSeal = PLAIN) -> Database:
        store = self.store(folder, LEDGER_HISTORY, clock)
        return Database(store, seal, functools.partial(check_keys, seal=seal))

    def open_metrics(self, folder: Path, clock: Clock) -> Database:
        return Database(self.store(folder, METRICS_HISTORY, clock))


def _make(path: Path, history: History) -> None:
    """Put an empty database there, unless there is one: to apply all steps takes much longer."""
    if not path.exists() and path.parent.is_dir():
        with tempfile.NamedTemporaryFile(dir=path.parent) as file:
            file.write(_empty(history.name))
            file.flush()
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)


@functools.cache
def _empty(name: str) -> bytes:
    (history,) = (each for each in (LEDGER_HISTORY, METRICS_HISTORY) if each.name == name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        made = SqliteFile(path, history)
        made.open()
        made.close()
        return path.read_bytes()


_REFUSAL = "CREATE TRIGGER refuse {} BEGIN SELECT RAISE(ABORT, '{}'); END"


class SqliteBackend(Backend):
    """A file in each folder."""

    def store(self, folder: Path, history: History, clock: Clock) -> SqliteFile:
        path = folder / f"{history.name.removeprefix('sttbatch.')}.db"
        if history in (LEDGER_HISTORY, METRICS_HISTORY):
            _make(path, history)
        return SqliteFile(path, history, clock=clock)

    def open_rates(self, folder: Path, clock: Clock) -> RateStore:
        return SqliteRates(folder / "rate.db", "here", clock=clock)

    def open_search(self, folder: Path) -> SqlSearchIndex:
        return open_search(folder, None)

    def rows(self, folder: Path, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as db:
            return db.execute(query, values).fetchall()

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        with contextlib.closing(connect(folder / "ledger.db")) as db:
            db.execute("BEGIN IMMEDIATE")
            yield

    @contextlib.asynccontextmanager
    async def traced(self, database: Database) -> AsyncIterator[list[Statement]]:
        seen: list[Statement] = []
        await database.read(lambda db: sqlite.trace(db, lambda text: seen.append((text, ()))))
        yield seen
        await database.read(lambda db: sqlite.trace(db, None))

    async def refuse(self, database: Database, event: str, message: str) -> None:
        await _execute(database, _REFUSAL.format(event, message))

    async def allow(self, database: Database) -> None:
        await _execute(database, "DROP TRIGGER refuse")


async def _execute(database: Database, statement: str) -> None:
    await database.write(lambda db: db.execute(statement))


class _TracedSession:
    """A session whose statements are added to `seen`."""

    def __init__(self, session: Session, seen: list[Statement]) -> None:
        self._session = session
        self._seen = seen

    def execute(self, statement: str, values: Values = (), /) -> Rows:
        self._seen.append((statement, values))
        return self._session.execute(statement, values)

    def executemany(self, statement: str, rows: Iterable[Values], /) -> Rows:
        kept = list(rows)
        self._seen += [(statement, values) for values in kept]
        return self._session.executemany(statement, kept)


class ClockedStore(PostgreSQLStore):
    """A schema of the test server for each folder, whose time is that of `clock`."""

    def __init__(self, folder: Path, history: History, clock: Clock) -> None:
        super().__init__(schema_url(folder), history)
        self._clock = clock
        self.seen: list[Statement] | None = None

    def open(self) -> None:
        super().open()
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(0)")
            connection.execute(_CLOCK)

    def transact(self, work: Work[T]) -> T:
        return super().transact(self._timed(work))

    def read(self, work: Work[T]) -> T:
        return super().read(self._timed(work))

    def _timed(self, work: Work[T]) -> Work[T]:
        def timed(session: Any) -> T:
            session.execute("SELECT set_config('test.now', ?, false)", (repr(self._clock()),))
            return work(session if self.seen is None else _TracedSession(session, self.seen))

        return timed


_CLOCK = """CREATE OR REPLACE FUNCTION ledger_now() RETURNS double precision STABLE LANGUAGE sql
    AS 'SELECT current_setting(''test.now'')::double precision'"""


@functools.cache
def schema_url(folder: Path) -> str:
    """The address of a folder's own schema, which is created."""
    name = f"folder_{hashlib.sha256(os.fsencode(folder)).hexdigest()[:24]}"
    with psycopg.connect(os.environ[VARIABLE], autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        with contextlib.suppress(psycopg.errors.UniqueViolation):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
    return f"{os.environ[VARIABLE]}&options=-csearch_path%3D{name}"


class PostgreSQLBackend(Backend):
    """A schema for each folder."""

    def store(self, folder: Path, history: History, clock: Clock) -> ClockedStore:
        return ClockedStore(folder, history, clock)

    def open_rates(self, folder: Path, clock: Clock) -> RateStore:
        return SharedRates(Database(ClockedStore(folder, RATES_HISTORY, clock)), "here")

    def open_search(self, folder: Path) -> SqlSearchIndex:
        return open_search(folder, schema_url(folder))

    def rows(self, folder: Path, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with psycopg.connect(schema_url(folder)) as connection:
            return connection.execute(query.replace("?", "%s").encode(), values or None).fetchall()

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        with psycopg.connect(schema_url(folder)) as connection:
            connection.execute(taking_lock(LEDGER_HISTORY).encode())
            yield

    @contextlib.asynccontextmanager
    async def traced(self, database: Database) -> AsyncIterator[list[Statement]]:
        seen: list[Statement] = []

        def trace(store: Any, into: list[Statement] | None) -> None:
            store.seen = into

        await database.maintain(lambda store: trace(store, seen))
        yield seen
        await database.maintain(lambda store: trace(store, None))

    async def refuse(self, database: Database, event: str, message: str) -> None:
        await _execute(database, in_postgresql(_REFUSAL.format(event, message)))

    async def allow(self, database: Database) -> None:
        await _execute(database, "DROP FUNCTION refuse CASCADE")


BACKENDS: dict[str, Backend] = {"sqlite": SqliteBackend(), "postgresql": PostgreSQLBackend()}

RATES: dict[str, Callable[[Path, Clock], RateStore]] = {
    "in memory": lambda _, clock: InMemoryRates(clock)
} | {name: backend.open_rates for name, backend in BACKENDS.items()}
"""Stores of the rate limit's state; one of them is no database."""
