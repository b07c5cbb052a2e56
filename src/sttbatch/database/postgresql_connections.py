"""Connections to a PostgreSQL server: their settings, and what outlives one that is lost."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout
from tzlocal import get_localzone_name

from sttbatch.core.errors import UsageError
from sttbatch.database.store import Rows, Values

T = TypeVar("T")
Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

CONNECT_S = 10
RETRY_S = 5.0
"""How long the pool tries by itself, at intervals that double; then it is asked again."""

PATIENCE_S = 60.0
"""How long a server that restarts is waited for."""

PROBE_S = 2
"""How long one is tried that was waited for in vain."""

APPLICATION = "sttbatch"
STOPPED_S = 30.0
"""How long a process that is stopped or cut off within a transaction holds the others."""

_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_SESSION = "; ".join(f"SET tcp_{name} = {value}" for name, value in _KEEPALIVES.items())
# No keepalives are sent while something is not acknowledged.
_TCP = {**_KEEPALIVES, "tcp_user_timeout": 25_000}


_away: set[str] = set()
"""Addresses that one store of this process waited for in vain, so that no other has to."""

# Each connection that is lost is worth no line: what could not be repeated is raised.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class _Number(Loader):
    """Sums of `bigint` come as `numeric`."""

    def load(self, data: Any) -> int | float:
        text = bytes(data).decode()
        return int(text) if text.lstrip("-").isdecimal() else float(text)


class PostgreSQLSession:
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


class Connections:
    """The connections of one store; the arguments are those of `PostgreSQLStore`."""

    def __init__(self, url: str, *, patience_s: float, stopped_s: float) -> None:
        self._url = url
        self._patience_s = patience_s
        self._stopped_s = stopped_s
        self._options = {
            "autocommit": True,
            "connect_timeout": CONNECT_S,
            "client_encoding": "UTF8",
            "application_name": f"{APPLICATION} {os.getpid()} on {platform.node()}",
            **_TCP,
        }
        self._pool: ConnectionPool[Connection]
        self._lost_at: float | None = None

    def single(self, connect_s: int = CONNECT_S) -> Connection:
        """One beside the pool, which would only say that it waited in vain."""
        options = {**self._options, "connect_timeout": connect_s}
        connection = psycopg.connect(self._url, **options)  # type: ignore[arg-type]
        self._configure(connection)
        return connection

    def open(self) -> None:
        self._pool = ConnectionPool(
            self._url,
            kwargs=self._options,
            min_size=1,
            max_size=1,
            timeout=self._patience_s,
            reconnect_timeout=RETRY_S,
            max_lifetime=3600,
            check=ConnectionPool.check_connection,
            configure=self._configure,
            open=True,
        )

    def close(self) -> None:
        self._pool.close()

    def figures(self) -> dict[str, int]:
        return self._pool.get_stats()

    def connection(self) -> contextlib.AbstractContextManager[Connection]:
        return self._pool.connection()

    def patiently(self, attempt: Callable[[Connection], T]) -> T:
        """The result of `attempt`, which is repeated when the connection is lost.

        A server that a store of this process waited for in vain is tried once by each call, until
        it is back.
        """
        while True:
            if self._url in _away:
                # It says what is wrong, or the server is back.
                self.single(PROBE_S).close()
                self._found()
            is_lost = True
            try:
                with self._pool.connection(min(RETRY_S, self._patience_s)) as connection:
                    try:
                        result = attempt(connection)
                    except BaseException:
                        is_lost = connection.broken
                        if not is_lost:
                            connection.rollback()
                        raise
                    self._found()
                    return result
            except Exception as error:
                if not is_lost:
                    self._found()
                    raise
                now = time.monotonic()
                if self._lost_at is None:
                    self._lost_at = now
                if now >= self._lost_at + self._patience_s:
                    if not isinstance(error, PoolTimeout):
                        raise
                    stop_waiting(self._url)

    def _found(self) -> None:
        self._lost_at = None
        _away.discard(self._url)

    def _configure(self, connection: Connection) -> None:
        connection.adapters.register_loader("numeric", _Number)
        connection.execute(_SESSION)
        timeout = f"SET idle_in_transaction_session_timeout = {1000 * self._stopped_s:.0f}"
        connection.execute(timeout.encode())
        ((server_pid,),) = connection.execute("SELECT pg_backend_pid()").fetchall()
        if server_pid != connection.info.backend_pid:
            # PgBouncer is between: a statement that is prepared in one server process is not known
            # in the next one.
            connection.prepare_threshold = None
        # Days are those of this machine, as in SQLite.
        for zone in _time_zones():
            with contextlib.suppress(psycopg.DataError):
                connection.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
                break


def stop_waiting(url: str) -> None:
    """Have no store of this process wait for a server that is away, until it is back."""
    _away.add(url)


def address(url: str) -> str:
    """Where a database is, without user and password; raises UsageError if `url` is no address."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # It quotes what it cannot read, which may be a part of the password.
        parts = {"host": "@"}
    host, port = parts.get("host", "this machine"), parts.get("port", 5432)
    title = f"PostgreSQL {parts.get('dbname', '')} at {host}:{port}"
    # After a password with @ or / libpq takes its end for a host or a name.
    if "@" in title:
        raise UsageError(
            "the address of the PostgreSQL database is not valid; it must be like "
            "postgresql://user@host:5432/database, with %xx for special characters"
        )
    return title


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
