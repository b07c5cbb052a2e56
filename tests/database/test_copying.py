"""A ledger that is copied stands still meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.database.copying import copy_tables, move_outputs
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.store import Session, Store
from tests.database.backends import Backend

WORKER = """INSERT INTO workers (id, host, pid, started_at, heartbeat_at)
    VALUES ('w', 'there boot', 7, 1.0, 1.0)"""
OUTPUT = "INSERT INTO outputs (path, source, format, sha256, host) VALUES (?, ?, 'txt', 'a', ?)"
HOSTS = "SELECT path, host FROM outputs ORDER BY path"
TABLES = LEDGER_HISTORY.tables


def put(store: Store, statement: str, *values: object) -> None:
    store.transact(lambda session: session.execute(statement, values))


@pytest.mark.parametrize("used", ["source", "target"])
def test_a_process_that_has_begun_to_work_at_either_ledger_ends_the_copy(
    store: Store, backend: Backend, tmp_path_factory: pytest.TempPathFactory, used: str
) -> None:
    with backend.opened(tmp_path_factory.mktemp("other"), LEDGER_HISTORY) as other:
        put(store if used == "source" else other, WORKER)
        with pytest.raises(UsageError, match="in use by PID 7 on there"):
            copy_tables(store, other, TABLES)


def test_nobody_writes_to_the_source_until_it_is_copied(
    store: Store, backend: Backend, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    may_write = threading.Event()

    def write() -> None:
        with backend.locked(tmp_path):
            may_write.set()

    with (
        backend.opened(tmp_path_factory.mktemp("other"), LEDGER_HISTORY) as other,
        ThreadPoolExecutor(1) as pool,
    ):

        def look(_: Session) -> None:
            pool.submit(write)
            assert not may_write.wait(0.5)

        copy_tables(store, other, TABLES, look)
        assert may_write.wait(60)


def test_outputs_of_this_machine_stay_its_own(
    store: Store, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file's ledger names no machine; in PostgreSQL, what has no name is everybody's."""
    put(store, OUTPUT, b"/a", b"/s", "")
    put(store, OUTPUT, b"/b", b"/t", "there")
    with backend.opened(tmp_path_factory.mktemp("other"), LEDGER_HISTORY) as other:
        copy_tables(store, other, TABLES, lambda session: move_outputs(session, "", "here"))
        rows = other.read(lambda session: session.execute(HOSTS).fetchall())
    assert rows == [(b"/a", "here"), (b"/b", "there")]
