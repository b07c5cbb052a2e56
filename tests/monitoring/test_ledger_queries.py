"""What statistics ask of the ledger is found by its indexes, whatever it has grown to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.database.database import Session
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.sqlite_file import connect
from sttbatch.database.usage_queries import FAILED, JOBS, REQUESTS_BY, SLOWEST

WINDOW = (0.0, 1.0)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Session]:
    with contextlib.closing(connect(tmp_path / "ledger.db")) as connection:
        LEDGER_HISTORY.apply(connection)
        yield connection


def plan(db: Session, query: str, *row: object) -> list[str]:
    return [detail for *_, detail in db.execute(f"EXPLAIN QUERY PLAN {query}", row)]


def test_jobs_are_counted_from_an_index_alone(db: Session) -> None:
    (step,) = plan(db, JOBS)
    assert "USING COVERING INDEX processing_jobs_" in step


def test_the_last_failed_are_found_newest_first(db: Session) -> None:
    (step,) = plan(db, FAILED, *WINDOW, 5)
    assert "USING INDEX processing_jobs_ended (status=? AND completed_at>? AND" in step


def test_the_slowest_are_sought_among_those_of_the_window(db: Session) -> None:
    found, order = plan(db, SLOWEST, *WINDOW, 5)
    assert "USING INDEX processing_jobs_ended (status=? AND completed_at>? AND" in found
    assert order == "USE TEMP B-TREE FOR ORDER BY"


@pytest.mark.parametrize("query", REQUESTS_BY.values())
def test_requests_are_those_of_the_window(db: Session, query: str) -> None:
    step = plan(db, query, *WINDOW)[0]
    assert step == "SEARCH requests USING INDEX requests_at (at>? AND at<?)"
