"""What the ledger's code asks of PostgreSQL: units of work, statements, and time under locks.

    python benchmarks/statement_log.py FILE COMMAND...

runs `sttbatch COMMAND...` and writes the log to FILE at its end.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from sttbatch.database import database
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.postgresql import taking_lock
from sttbatch.database.rates import RATES_HISTORY

LOCKS = {
    taking_lock(history): history.name.removeprefix("sttbatch.")
    for history in (LEDGER_HISTORY, METRICS_HISTORY, RATES_HISTORY)
}


class Unit(msgspec.Struct):
    """A unit of work.

    Attributes:
        store: the tables' lock that it held; empty: it only read.
        at: when it began, on `time.monotonic`.
        seconds: of its statements, the savepoint's included, and of its own code.
    """

    label: str
    store: str
    at: float
    statements: int = 0
    seconds: float = 0.0


class Group(msgspec.Struct):
    """A transaction under a lock.

    Attributes:
        held_s: from the lock's grant to the answer to COMMIT.
        ending_s: of it after the last unit of work: marking and COMMIT.
        ending: the statements of that.
    """

    store: str
    held_s: float = 0.0
    ending_s: float = 0.0
    ending: int = 0


class Log(msgspec.Struct):
    """What was asked.

    Attributes:
        checks, checks_s: how often the pool looked whether its connection is alive, and how long.
    """

    units: list[Unit] = msgspec.field(default_factory=list)
    groups: list[Group] = msgspec.field(default_factory=list)
    checks: int = 0
    checks_s: float = 0.0


class _Thread(threading.local):
    """What a database's thread does now."""

    unit: Unit | None = None
    group: Group | None = None
    begun_at = 0.0
    unit_ended_at = 0.0


class _Recorder:
    def __init__(self, log: Log) -> None:
        self._log = log
        self._now = _Thread()

    def statement(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def execute(connection: Any, query: Any, *args: Any, **options: Any) -> Any:
            begun_at = time.monotonic()
            try:
                return real(connection, query, *args, **options)
            finally:
                self._note(query.decode() if isinstance(query, bytes) else str(query), begun_at)

        return execute

    def unit(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def run(work: Callable[..., Any], session: Any) -> Any:
            now = self._now
            if now.unit is not None:
                return real(work, session)
            now.unit = Unit(_label(work), now.group.store if now.group else "", time.monotonic())
            try:
                return real(work, session)
            finally:
                now.unit_ended_at = time.monotonic()
                now.unit.seconds = now.unit_ended_at - now.unit.at
                self._log.units.append(now.unit)
                now.unit = None

        return run

    def _note(self, text: str, begun_at: float) -> None:
        now, at = self._now, time.monotonic()
        if now.unit is not None:
            now.unit.statements += 1
            if now.unit.label == "Database.rows" and not text.startswith("SAVEPOINT"):
                now.unit.label = f"read {_table(text)}"
        elif not text:
            self._log.checks += 1
            self._log.checks_s += at - begun_at
        elif text.startswith("BEGIN"):
            store = next((name for lock, name in LOCKS.items() if text.endswith(lock)), "")
            now.group, now.begun_at, now.unit_ended_at = Group(store), at, at
        elif now.group is not None:
            now.group.ending += 1
            if text == "COMMIT":
                now.group.held_s = at - now.begun_at
                now.group.ending_s = at - now.unit_ended_at
                self._log.groups.append(now.group)
                now.group = None


@contextlib.contextmanager
def logged() -> Iterator[Log]:
    """What is asked of PostgreSQL by all threads of this process meanwhile."""
    log = Log()
    recorder = _Recorder(log)
    patched: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (psycopg.Connection, "execute", recorder.statement),
        (psycopg.Cursor, "executemany", recorder.statement),
        (database, "_run", recorder.unit),
        (database, "_run_in_savepoint", recorder.unit),
    ]
    real = [(owner, name, getattr(owner, name)) for owner, name, _ in patched]
    for owner, name, wrap in patched:
        setattr(owner, name, wrap(getattr(owner, name)))
    try:
        yield log
    finally:
        for owner, name, function in real:
            setattr(owner, name, function)


def _label(work: Callable[..., Any]) -> str:
    function = work.func if isinstance(work, functools.partial) else work
    return str(getattr(function, "__qualname__", function)).partition(".<locals>")[0]


def _table(statement: str) -> str:
    words = statement.replace("(", " ").split()
    return next((b for a, b in pairwise(words) if a.upper() == "FROM"), "-")


def main() -> None:
    from sttbatch.__main__ import main as run

    path = Path(sys.argv.pop(1))
    with logged() as log:
        try:
            run()
        finally:
            path.write_bytes(msgspec.json.encode(log))


if __name__ == "__main__":
    main()
