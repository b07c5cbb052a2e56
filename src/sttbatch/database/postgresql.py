"""PostgreSQLStore: a `Store` in a PostgreSQL database, which several machines may share."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, TypeAlias, TypeVar
from uuid import uuid4
from zlib import crc32

import psycopg
from psycopg import sql
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout
from tzlocal import get_localzone_name

from sttbatch.core.errors import StateError, UsageError
from sttbatch.database.database import Columns, Rows, Scan, Session, Values, Work
from sttbatch.database.migrations import History
from sttbatch.database.postgresql_schema import FUNCTIONS, RECORDS, in_postgresql

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

OLDEST = 150000
"""`server_version` of the first PostgreSQL that understands every statement."""

CONNECT_S = 10
RETRY_S = 5.0
"""How long the pool tries by itself, at intervals that double; then it is asked again."""

PATIENCE_S = 60.0
"""How long a server that restarts is waited for."""

NEAR_S = 0.003
"""A longer round trip makes the ledger slower than the endpoint."""

APPLICATION = "sttbatch"
_ROUND_TRIPS = 5
_LAST_STEP = "SELECT max(name) FROM schema_steps WHERE history = %s"
_OTHERS = f"""SELECT DISTINCT application_name FROM pg_stat_activity
    WHERE application_name LIKE '{APPLICATION} %' AND datname = current_database()
        AND application_name <> current_setting('application_name') ORDER BY 1"""  # noqa: S608
_OBJECTS = """SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
    UNION SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = current_schema()::regnamespace"""
_PARTIAL_INDEXES = """SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE indpred IS NOT NULL"""
_COLUMNS = """SELECT attname, 1 + array_position(indkey::smallint[], attnum) FROM pg_attribute
    LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
    WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_NUMBERED = """SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE attidentity <> '' AND relnamespace = current_schema()::regnamespace"""
STOPPED_S = 30.0
"""How long a process that is stopped or cut off within a transaction holds the others."""

_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_SESSION = "; ".join(f"SET tcp_{name} = {value}" for name, value in _KEEPALIVES.items())
# Keepalives are not sent while an answer is waited for.
_TCP = {**_KEEPALIVES, "tcp_user_timeout": 25_000}

_MARK_COMMIT = """INSERT INTO last_commits (writer, number)
    SELECT %s, %s WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"""
_IS_COMMITTED = "SELECT 1 FROM last_commits WHERE writer = %s AND number = %s"
_FORGET_COMMITS = "DELETE FROM last_commits WHERE at < now() - interval '1 day'"


# Each connection that is lost is worth no line: what could not be repeated is raised.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Number(Loader):
    """Sums of `bigint` come as `numeric`."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)


class _Session:
    """A `Session` on a connection of psycopg."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Values = (), /) -> Rows:
        if not values:
            return self._connection.execute(statement.encode())
        return self._connection.execute(_placed(statement), values)

    def executemany(self, statement: str, rows: Iterable[Values], /) -> Rows:
        cursor = self._connection.cursor()
        cursor.executemany(_placed(statement), rows)
        return cursor


class PostgreSQLStore:
    """A `Store` in a PostgreSQL database; its tables are in the first schema of the search path.

    A group of works is one transaction under an advisory lock that all processes at the database
    take, as they take SQLite's with BEGIN IMMEDIATE. Each is marked in `last_commits`, so that the
    server can be asked whether a commit was made whose connection was lost. (`pg_xact_status` does
    not tell: after a crash the number of a transaction that was lost is given to another one.)

    Args:
        url: address as libpq takes it; what it omits is in libpq's variables and files.
        history: the migrations of the tables.
        durable: False: a crash of the server may lose the latest commits.
        patience_s: how long a server that was lost is waited for.
        stopped_s: how long this process may stand still within a transaction.
    """

    faults = (psycopg.Error, UnicodeDecodeError)
    advice = "Is the server there? `sttbatch doctor` tells more"

    def __init__(
        self,
        url: str,
        history: History,
        *,
        durable: bool = True,
        patience_s: float = PATIENCE_S,
        stopped_s: float = STOPPED_S,
    ) -> None:
        self.title = address(url)
        self._url = url
        self._history = history
        self._durable = durable
        self._patience_s = patience_s
        self._stopped_s = stopped_s
        self._options = {
            "autocommit": True,
            "connect_timeout": CONNECT_S,
            "client_encoding": "UTF8",
            "application_name": f"{APPLICATION} {os.getpid()} on {platform.node()}",
            **_TCP,
        }
        self._writer = uuid4().hex
        self._groups = 0
        self._lock = lock_of(history)
        self._tables = history.tables
        self._pool: ConnectionPool[Connection]

    def reason(self, fault: Exception) -> str:
        # Details may contain the values of a row, and hints are for administrators.
        told = fault.diag.message_primary if isinstance(fault, psycopg.Error) else None
        return (told or str(fault)).partition("\n")[0].rstrip(".?")

    def open(self) -> None:
        with self._connected() as connection:
            self._configure(connection)
            self._migrate(connection)
        self._pool = ConnectionPool(
            self._url,
            kwargs=self._options,
            min_size=1,
            max_size=2,
            timeout=self._patience_s,
            reconnect_timeout=RETRY_S,
            max_lifetime=3600,
            check=ConnectionPool.check_connection,
            configure=self._configure,
            open=True,
        )

    def transact(self, work: Work[T]) -> T:
        begin = f"BEGIN; SELECT pg_advisory_xact_lock({self._lock})".encode()
        self._groups += 1
        mark = (self._writer, self._groups)
        # Of the attempt whose COMMIT was sent.
        committing: tuple[T] | None = None

        def attempt(connection: Connection) -> T:
            nonlocal committing
            # Whoever has the lock knows how the transaction before ended.
            connection.execute(begin)
            if committing and connection.execute(_IS_COMMITTED, mark).fetchone():
                connection.execute("ROLLBACK")
                return committing[0]
            committing = None
            result = work(_Session(connection))
            connection.execute(_MARK_COMMIT, mark)
            committing = (result,)
            connection.execute("COMMIT")
            return result

        return self._patiently(attempt)

    def read(self, work: Work[T]) -> T:
        def attempt(connection: Connection) -> T:
            result = work(_Session(connection))
            if connection.broken:
                # The work may have kept the error for itself.
                raise psycopg.OperationalError("the connection was lost")
            return result

        return self._patiently(attempt)

    def close(self) -> None:
        self._pool.close()

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        del quick  # PostgreSQL checks its own pages as it reads them.
        query = """SELECT indexrelid::regclass::text FROM pg_index
            WHERE NOT indisvalid AND indrelid = ANY(%s::regclass[])"""
        with self._pool.connection() as connection:
            rows = connection.execute(query, (self._tables,)).fetchall()
        return tuple(f"the index {name} is not valid" for (name,) in rows)

    def rebuild_indexes(self) -> None:
        self._for_each_table("REINDEX TABLE {}")

    def erase_on_delete(self) -> None:
        """Do nothing: deleted rows leave the files with `vacuum`, but not the server's log."""

    def vacuum(self) -> None:
        self._for_each_table("VACUUM (FULL) {}")

    def size_bytes(self) -> int:
        query = "SELECT sum(pg_total_relation_size(name)) FROM unnest(%s::regclass[]) AS name"
        with self._pool.connection() as connection:
            ((size,),) = connection.execute(query, (self._tables,)).fetchall()
        return int(size)

    def describe(self) -> str:
        with self._pool.connection() as connection:
            begun_at = time.time()
            for _ in range(_ROUND_TRIPS):
                ((server_at,),) = connection.execute("SELECT ledger_now()").fetchall()
            round_trip_s = (time.time() - begun_at) / _ROUND_TRIPS
            ahead_s = time.time() - server_at - round_trip_s / 2
            ((steps,),) = connection.execute(_LAST_STEP, (self._history.name,)).fetchall()
            others = [name for (name,) in connection.execute(_OTHERS).fetchall()]
            version = connection.info.parameter_status("server_version")
        pool = self._pool.get_stats()
        far = ": each chunk waits for about 20; run it nearer" if round_trip_s > NEAR_S else ""
        return (
            f"PostgreSQL {version}, schema {steps}, {1000 * round_trip_s:.1f} ms away{far}; "
            f"{pool['pool_size']} of at most {pool['pool_max']} connections; this machine's clock "
            f"is {abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}; "
            f"also connected: {', '.join(others) or 'nobody'}"
        )

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        query = f"""SELECT {_NUMBER}, convert_to(key, 'UTF8'), value, sha256 FROM cache_entries
            WHERE ctid > %s::tid ORDER BY ctid LIMIT %s"""  # noqa: S608 - of a constant
        with self._pool.connection() as connection:
            after = _row_id(max(number, 0))
            return connection.execute(query.encode(), (after, limit)).fetchall()

    def drop_entries(self, numbers: Sequence[int]) -> None:
        row_ids = [(_row_id(number),) for number in numbers]
        # A sound entry may have been stored in the same place since.
        statement = r"""DELETE FROM cache_entries WHERE ctid = ?::tid
            AND sha256 <> sha256(convert_to(key, 'UTF8') || '\x00'::bytea || value)"""
        self.transact(lambda session: session.executemany(statement, row_ids))

    def columns(self, table: str) -> Columns:
        with self._pool.connection() as connection:
            rows = connection.execute(_COLUMNS, (table,)).fetchall()
        key = sorted((place, name) for name, place in rows if place)
        return Columns(tuple(name for name, _ in rows), tuple(name for _, name in key))

    def scans(self, statement: str, values: Values = ()) -> list[Scan]:
        def explain(session: Session) -> list[Scan]:
            # Small tables are read whole wherever that is possible at all.
            session.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            partial = {name for (name,) in session.execute(_PARTIAL_INDEXES)}
            ((plan,),) = session.execute(f"EXPLAIN (FORMAT JSON) {statement}", values).fetchall()
            return list(_scans(plan[0]["Plan"], partial))

        return self.transact(explain)

    def objects(self) -> set[str]:
        with self._pool.connection() as connection:
            return {name for (name,) in connection.execute(_OBJECTS).fetchall()}

    def define(self, statement: str) -> None:
        with self._pool.connection() as connection:
            connection.execute(in_postgresql(statement).encode())

    def analyze(self) -> None:
        self._for_each_table("ANALYZE {}")

    def after_copy(self, session: Session) -> None:
        for table, column in session.execute(_NUMBERED).fetchall():
            names = (sql.Identifier(table), sql.Identifier(column))
            query = sql.SQL("SELECT setval(?, (SELECT coalesce(max({1}), 1) FROM {0}))")
            sequence = session.execute(
                "SELECT pg_get_serial_sequence(?, ?)", (table, column)
            ).fetchone()
            session.execute(query.format(*names).as_string(), sequence)

    def _patiently(self, attempt: Callable[[Connection], T]) -> T:
        """The result of `attempt`, which is repeated when the connection is lost."""
        until = time.monotonic() + self._patience_s
        while True:
            is_lost = True
            try:
                with self._pool.connection(min(RETRY_S, self._patience_s)) as connection:
                    try:
                        return attempt(connection)
                    except BaseException:
                        is_lost = connection.broken
                        if not is_lost:
                            connection.rollback()
                        raise
            except Exception as error:
                if not is_lost:
                    raise
                if time.monotonic() > until:
                    if isinstance(error, PoolTimeout):
                        self._connected().close()
                    raise

    def _connected(self) -> Connection:
        """A connection beside the pool, which would only say that it waited in vain."""
        return psycopg.connect(self._url, **self._options)  # type: ignore[arg-type]

    def _configure(self, connection: Connection) -> None:
        connection.adapters.register_loader("numeric", _Number)
        connection.execute(_SESSION)
        timeout = f"SET idle_in_transaction_session_timeout = {1000 * self._stopped_s:.0f}"
        connection.execute(timeout.encode())
        if not self._durable:
            connection.execute("SET synchronous_commit = off")
        # Days are those of this machine, as in SQLite.
        for zone in _time_zones():
            with contextlib.suppress(psycopg.DataError):
                connection.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
                break

    def _migrate(self, connection: Connection) -> None:
        """Apply the missing steps in one transaction; raises StateError as `History.missing`."""
        if connection.info.server_version < OLDEST:
            raise StateError(f"{self.title}: sttbatch needs PostgreSQL {OLDEST // 10_000} or newer")
        if connection.info.parameter_status("server_encoding") != "UTF8":
            raise StateError(f"{self.title}: its encoding must be UTF8")
        name, title = self._history.name, self.title
        with connection.transaction():
            # The records and functions are those of every history.
            for lock in (_MIGRATION_LOCK, self._lock):
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock,))
            for table in RECORDS:
                connection.execute(table)
            connection.execute(_FORGET_COMMITS)
            rows = connection.execute("SELECT name FROM schema_steps WHERE history = %s", (name,))
            missing = self._history.missing(
                {step for (step,) in rows.fetchall()}, title, _ELSEWHERE
            )
            for function in FUNCTIONS if missing else ():
                connection.execute(function)
            for step in missing:
                for statement in self._history.steps[step]:
                    connection.execute(in_postgresql(statement).encode())
                connection.execute(
                    "INSERT INTO schema_steps VALUES (%s, %s, ledger_now())", (name, step)
                )

    def _for_each_table(self, statement: LiteralString) -> None:
        with self._pool.connection() as connection:
            for table in self._tables:
                connection.execute(sql.SQL(statement).format(sql.Identifier(table)))


def lock_of(history: History) -> int:
    """The advisory lock of all who write to the tables of a history."""
    return crc32(history.name.encode())


_ELSEWHERE = "STTBATCH_DATABASE_URL to another database"
_MIGRATION_LOCK = crc32(b"sttbatch.migrations")


def _scans(node: Mapping[str, Any], partial: set[str], table: str = "") -> Iterator[Scan]:
    """Those of a node of a plan and of the nodes below it."""
    kind, table = node["Node Type"], node.get("Relation Name", table)
    if kind == "Seq Scan":
        yield Scan(table, None, is_whole=True)
    elif "Index" in kind:
        index = node["Index Name"]
        # What the condition of an index already says is not sought in it.
        is_whole = "Index Cond" not in node and index not in partial
        yield Scan(table, index, is_whole, kind == "Index Only Scan")
    for each in node.get("Plans", ()):
        yield from _scans(each, partial, table)


def address(url: str) -> str:
    """Where a database is, without user and password; raises UsageError if `url` is no address."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # It quotes what it cannot read, which may be a part of the password.
        raise UsageError(
            "the address of the PostgreSQL database cannot be read; it is like "
            "postgresql://user@host:5432/database, with %xx for special characters"
        ) from None
    host, port = parts.get("host", "this machine"), parts.get("port", 5432)
    return f"PostgreSQL {parts.get('dbname', '')} at {host}:{port}"


_NUMBER = "(ctid::text::point)[0]::bigint * 65536 + (ctid::text::point)[1]::bigint"
"""Block and row as one number."""


def _row_id(number: int) -> str:
    return f"({number >> 16},{number & 0xFFFF})"


def _time_zones() -> Iterator[str]:
    """This machine's time zone in several forms, the best one first."""
    if zone := os.environ.get("TZ"):
        yield zone
    # The files of a machine may contradict each other.
    with contextlib.suppress(LookupError):
        yield get_localzone_name()
    # Today's, as POSIX writes it: what is east of Greenwich is less.
    offset_s = time.localtime().tm_gmtoff
    hours, seconds = divmod(abs(offset_s), 3600)
    yield f"<local>{'-' if offset_s > 0 else '+'}{hours}:{seconds // 60:02}"


_MARK = re.compile(r"'(?:[^']|'')*'|%|\?|(?<!:):([a-z_]\w*)")


@functools.lru_cache(maxsize=512)
def _placed(statement: str) -> bytes:
    """A statement with psycopg's placeholders in place of SQLite's."""

    def mark(match: re.Match[str]) -> str:
        if match[1]:
            return f"%({match[1]})s"
        return {"?": "%s"}.get(match[0], match[0].replace("%", "%%"))

    return _MARK.sub(mark, statement).encode()
