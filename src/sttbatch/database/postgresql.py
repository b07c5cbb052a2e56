"""PostgreSQLStore: a `Store` in a PostgreSQL database, which several machines may share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from operator import methodcaller
from typing import Any, LiteralString, TypeVar
from uuid import uuid4
from zlib import crc32

import psycopg
from psycopg import sql

from sttbatch.database.migrations import History
from sttbatch.database.postgresql_connections import (
    APPLICATION,
    PATIENCE_S,
    STOPPED_S,
    Connection,
    Connections,
    PostgreSQLSession,
    address,
)
from sttbatch.database.postgresql_schema import in_postgresql, migrate
from sttbatch.database.store import Session, Values, Work
from sttbatch.database.store_facts import Columns, Scan

T = TypeVar("T")

NEAR_S = 0.003
"""A longer round trip makes the ledger slower than the endpoint."""

STORES = 3
"""Of a process, each with a connection: the ledger, metrics and the rate limit."""

_ROUND_TRIPS = 5
_LAST_STEP = "SELECT max(name) FROM schema_steps WHERE history = %s"
_OTHERS = f"""SELECT DISTINCT application_name FROM pg_stat_activity
    WHERE application_name LIKE '{APPLICATION} %' AND datname = current_database()
        AND application_name <> current_setting('application_name') ORDER BY 1"""  # noqa: S608
_IN_USE = "SELECT sum(numbackends), current_setting('max_connections') FROM pg_stat_database"
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
_MARK_COMMIT = """INSERT INTO last_commits (writer, number)
    SELECT %s, %s WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"""
_IS_COMMITTED = "SELECT 1 FROM last_commits WHERE writer = %s AND number = %s"
# Other stores forget the same ones, under locks of their own.
_FORGET_COMMITS = """DELETE FROM last_commits WHERE writer IN (
    SELECT writer FROM last_commits WHERE at < now() - interval '1 day' FOR UPDATE SKIP LOCKED)"""


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
    advice = "Is the server running? `sttbatch doctor` tells more"

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
        self._pool = Connections(url, patience_s=patience_s, stopped_s=stopped_s)
        self._history = history
        self._writer = uuid4().hex
        self._groups = 0
        self._lock = taking_lock(history)
        # Of the transaction alone: the next one in a server process may be that of another store.
        durability = "" if durable else "SET LOCAL synchronous_commit = off; "
        self._begin = f"BEGIN; {durability}{self._lock}".encode()
        self._tables = history.tables

    def reason(self, fault: Exception) -> str:
        # Details may contain the values of a row, and hints are for administrators.
        told = fault.diag.message_primary if isinstance(fault, psycopg.Error) else None
        return (told or str(fault)).partition("\n")[0].rstrip(".?")

    def open(self) -> None:
        with self._pool.single() as connection:
            migrate(connection, self._history, self.title, self._lock)
        self._pool.open()

    def transact(self, work: Work[T]) -> T:
        self._groups += 1
        mark = (self._writer, self._groups)
        # Of the attempt whose COMMIT was sent.
        committing: tuple[T] | None = None

        def attempt(connection: Connection) -> T:
            nonlocal committing
            # Whoever has the lock knows how the transaction before ended.
            connection.execute(self._begin)
            if committing and connection.execute(_IS_COMMITTED, mark).fetchone():
                connection.execute("ROLLBACK")
                return committing[0]
            committing = None
            if self._groups == 1:
                connection.execute(_FORGET_COMMITS)
            result = work(PostgreSQLSession(connection))
            connection.execute(_MARK_COMMIT, mark)
            committing = (result,)
            connection.execute("COMMIT")
            return result

        return self._pool.patiently(attempt)

    def read(self, work: Work[T]) -> T:
        def attempt(connection: Connection) -> T:
            result = work(PostgreSQLSession(connection))
            if connection.broken:
                # The work may have kept the error for itself.
                raise psycopg.OperationalError("the connection was lost")
            return result

        return self._pool.patiently(attempt)

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
        # Whoever reads a table and then writes to it would wait for this one, and this one for it.
        for table in self._tables:
            self.transact(methodcaller("execute", f"REINDEX TABLE {table}"))

    def erase_on_delete(self) -> None:
        """Do nothing: deleted rows leave the files with `vacuum`, but not the server's log."""

    def vacuum(self) -> None:
        self._for_each_table("VACUUM (FULL) {}")

    def size_bytes(self) -> int:
        query = "SELECT sum(pg_total_relation_size(name)) FROM unnest(%s::regclass[]) AS name"
        with self._pool.connection() as connection:
            ((size,),) = connection.execute(query, (self._tables,)).fetchall()
        return int(size)

    def connections(self) -> Mapping[str, int]:
        return self._pool.figures()

    def describe(self) -> str:
        with self._pool.connection() as connection:
            begun_at = time.time()
            for _ in range(_ROUND_TRIPS):
                ((server_at,),) = connection.execute("SELECT ledger_now()").fetchall()
            round_trip_s = (time.time() - begun_at) / _ROUND_TRIPS
            ahead_s = time.time() - server_at - round_trip_s / 2
            ((steps,),) = connection.execute(_LAST_STEP, (self._history.name,)).fetchall()
            others = [name for (name,) in connection.execute(_OTHERS).fetchall()]
            ((used, limit),) = connection.execute(_IN_USE).fetchall()
            version = connection.info.parameter_status("server_version")
        far = ": each chunk waits for about 20; run it nearer" if round_trip_s > NEAR_S else ""
        return (
            f"PostgreSQL {version}, schema {steps}, {1000 * round_trip_s:.1f} ms away{far}; "
            f"{used} of {limit} connections are in use, up to {STORES} by each run; "
            f"this machine's clock is {abs(ahead_s):.1f} s {'ahead' if ahead_s > 0 else 'behind'}; "
            f"also connected: {', '.join(others) or 'nobody'}"
        )

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        number = max(number, 0)
        # To sort by place, PostgreSQL reads all rows of a range: it gets no more than it needs.
        end, blocks = number >> 16, _BLOCKS
        rows: list[tuple[int, bytes | None, bytes | None, object]] = []
        with self._pool.connection() as connection:
            ((count,),) = connection.execute(_COUNT_BLOCKS).fetchall()
            while not rows and end < count:
                end, blocks = end + blocks, 2 * blocks
                values = (_row_id(number), _row_id(end << 16), limit)
                rows = connection.execute(_ENTRIES.encode(), values).fetchall()
        return rows

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

    def _for_each_table(self, statement: LiteralString) -> None:
        with self._pool.connection() as connection:
            for table in self._tables:
                connection.execute(sql.SQL(statement).format(sql.Identifier(table)))


def taking_lock(history: History) -> str:
    """The statement that takes the lock of all who write to a history's tables in one schema."""
    number = crc32(history.name.encode()) >> 1
    return f"SELECT pg_advisory_xact_lock({number}, hashtext(current_schema()))"


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


_NUMBER = "(ctid::text::point)[0]::bigint * 65536 + (ctid::text::point)[1]::bigint"
"""Block and row as one number."""

_ENTRIES = f"""SELECT {_NUMBER}, convert_to(key, 'UTF8'), value, sha256 FROM cache_entries
    WHERE ctid > %s::tid AND ctid < %s::tid ORDER BY ctid LIMIT %s"""  # noqa: S608 - of a constant
_COUNT_BLOCKS = """
    SELECT pg_relation_size('cache_entries') / current_setting('block_size')::bigint"""
_BLOCKS = 4


def _row_id(number: int) -> str:
    return f"({number >> 16},{number & 0xFFFF})"
