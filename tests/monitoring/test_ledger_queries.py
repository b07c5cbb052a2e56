"""What statistics ask of the ledger is found by its indexes, whatever it has grown to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from sttbatch.database.store_facts import Scan
from sttbatch.database.usage_queries import FAILED, JOBS, REQUESTS_BY, SLOWEST
from tests.database.backends import Backend

WINDOW = (0.0, 1.0)


def scan(backend: Backend, folder: Path, query: str, *row: object) -> Scan:
    """The only one of a statement about the ledger."""
    with contextlib.closing(backend.open_ledger(folder, time.time)) as database:
        (found,) = asyncio.run(backend.scans(database, query, row))
    return found


def test_jobs_are_counted_from_an_index_alone(backend: Backend, tmp_path: Path) -> None:
    assert scan(backend, tmp_path, JOBS).is_covering


@pytest.mark.parametrize("query", [FAILED, SLOWEST])
def test_the_last_and_the_slowest_are_sought_among_those_of_the_window(
    backend: Backend, tmp_path: Path, query: str
) -> None:
    found = scan(backend, tmp_path, query, *WINDOW, 5)
    assert found == Scan("processing_jobs", "processing_jobs_ended")


@pytest.mark.parametrize("query", REQUESTS_BY.values())
def test_requests_are_those_of_the_window(backend: Backend, tmp_path: Path, query: str) -> None:
    assert scan(backend, tmp_path, query, *WINDOW) == Scan("requests", "requests_at")
