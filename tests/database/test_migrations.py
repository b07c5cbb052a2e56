"""Old ledgers open, newer ones are refused, and a step that fails leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import StateError
from sttbatch.database.ledger_schema import LEDGER, LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS, METRICS_HISTORY
from sttbatch.database.migrations import RECORD, History, Steps
from sttbatch.database.opening import open_ledger, open_metrics
from sttbatch.database.search_schema import SQLITE_SEARCH_HISTORY
from sttbatch.database.sqlite_file import connect

FIRST_RELEASE = dict([*LEDGER.items()][:2])


def made_by(steps: Steps, path: Path) -> None:
    """A ledger as a sttbatch that knew only `steps` left it."""
    with contextlib.closing(connect(path)) as connection:
        replace(LEDGER_HISTORY, steps=steps).apply(connection)


def rows_of(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def tables(path: Path) -> set[str]:
    return {
        str(name)
        for (name,) in rows_of(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    }


def test_an_old_ledger_opens_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    made_by(FIRST_RELEASE, path)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO cache_entries VALUES ('chunk:1', x'00', x'00', 'cloudru', 'm', 1.0, 2.0)"
        )
    database = open_ledger(tmp_path)
    rows = asyncio.run(
        database.read(lambda db: db.execute("SELECT key, expires_at FROM cache_entries").fetchall())
    )
    database.close()
    assert rows == [("chunk:1", None)]
    assert "processing_jobs" in tables(path)


def test_columns_that_nobody_reads_go_and_every_row_stays(tmp_path: Path) -> None:
    ledger, metrics = tmp_path / "ledger.db", tmp_path / "metrics.db"
    made_by({name: step for name, step in LEDGER.items() if name < "0009"}, ledger)
    with contextlib.closing(connect(ledger)) as db:
        db.execute("INSERT INTO cache_entries VALUES ('k', x'00', x'00', 'e', 'm', 1, 2, 3, 4, 5)")
        db.execute("INSERT INTO entry_files VALUES ('f', 'k')")
        db.execute("INSERT INTO outputs VALUES (x'01', x'02', 'txt', 'aa', 3.0, 'o', 's', 4.0)")
        db.execute("INSERT INTO alerts VALUES ('failing', 'requests > 1', 2.0, 3.0)")
    with contextlib.closing(connect(metrics)) as db:
        steps = {name: step for name, step in METRICS.items() if name < "0003"}
        replace(METRICS_HISTORY, steps=steps).apply(db)
        db.execute("INSERT INTO runs VALUES (1, 2.0, 'e', 'm', 4, 600, 0.5, '1 in /secret')")
    open_ledger(tmp_path).close()
    open_metrics(tmp_path).close()
    with contextlib.closing(connect(ledger)) as db:
        assert db.execute("SELECT * FROM cache_entries").fetchall() == [
            ("k", b"\0", b"\0", "m", 2.0, 3.0, 5)
        ]
        assert db.execute("SELECT * FROM entry_files").fetchall() == [("f", "k")]
        assert db.execute("SELECT * FROM outputs").fetchall() == [
            (b"\1", b"\2", "txt", "aa", "o", "s", 4.0, "", None, None, None)
        ]
        assert db.execute("SELECT * FROM alerts").fetchall() == [("failing", "requests > 1", 3.0)]
    with contextlib.closing(connect(metrics)) as db:
        assert db.execute("SELECT * FROM runs").fetchall() == [(1, 2.0, "e", "m", 4, 600)]


def test_a_newer_ledger_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    made_by({**LEDGER, "9999_from_the_future": ("CREATE TABLE future (x)",)}, path)
    with pytest.raises(StateError, match=r"newer sttbatch .*9999_from_the_future.*upgrade"):
        open_ledger(tmp_path)
    assert "future" in tables(path)


def test_a_step_that_fails_leaves_neither_tables_nor_a_record(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    broken = ("CREATE TABLE half (x)", "CREATE TABLE half (x)")
    with pytest.raises(sqlite3.OperationalError):
        made_by({**FIRST_RELEASE, "0003_broken": broken}, path)
    assert "half" not in tables(path)
    database = open_ledger(tmp_path)
    database.close()
    assert "processing_jobs" in tables(path)


def test_every_name_is_applied_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(2):
        open_ledger(tmp_path).close()
    assert rows_of(path, f"SELECT name FROM {RECORD} ORDER BY id") == [(name,) for name in LEDGER]


@pytest.mark.parametrize("history", [LEDGER_HISTORY, METRICS_HISTORY, SQLITE_SEARCH_HISTORY])
def test_a_new_file_is_as_one_that_was_migrated_step_by_step(
    history: History, tmp_path: Path
) -> None:
    """So that later steps, which sqlite-utils applies, find what they expect."""
    new, old = tmp_path / "new.db", tmp_path / "old.db"
    with contextlib.closing(connect(new)) as connection:
        history.apply(connection)
    with contextlib.closing(connect(old)) as connection:
        # The record of another history makes the file none that is new.
        replace(history, name="other", steps={"0001_none": ()}).apply(connection)
        history.apply(connection)
    for query in (
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid",
        f"SELECT name FROM {RECORD} WHERE migration_set = '{history.name}' ORDER BY id",
    ):
        assert rows_of(new, query) == rows_of(old, query)
