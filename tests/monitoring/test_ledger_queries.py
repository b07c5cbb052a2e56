"""What statistics ask of the ledger is found by its indexes, whatever it has grown to."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.database.database import connect
from sttbatch.database.ledger_migrations import migrate
from sttbatch.monitoring.statistics import FAILED, GROUPS, JOBS, REQUESTS, SLOWEST

WINDOW = (0.0, 1.0)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(connect(tmp_path / "ledger.db")) as connection:
        migrate(connection)
        yield connection


def plan(db: sqlite3.Connection, query: str, *row: object) -> list[str]:
    return [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {query}", row)]


def test_jobs_are_counted_from_an_index_alone(db: sqlite3.Connection) -> None:
    (step,) = plan(db, JOBS)
    assert "USING COVERING INDEX processing_jobs_" in step


def test_the_last_failed_are_found_newest_first(db: sqlite3.Connection) -> None:
    (step,) = plan(db, FAILED, *WINDOW, 5)
    assert "USING INDEX processing_jobs_ended (status=? AND completed_at>? AND" in step


def test_the_slowest_are_sought_among_those_of_the_window(db: sqlite3.Connection) -> None:
    found, order = plan(db, SLOWEST, *WINDOW, 5)
    assert "USING INDEX processing_jobs_ended (status=? AND completed_at>? AND" in found
    assert order == "USE TEMP B-TREE FOR ORDER BY"


@pytest.mark.parametrize("group", GROUPS.values())
def test_requests_are_those_of_the_window(db: sqlite3.Connection, group: str) -> None:
    step = plan(db, REQUESTS.format(group=group), *WINDOW)[0]
    assert step == "SEARCH requests USING INDEX requests_at (at>? AND at<?)"
