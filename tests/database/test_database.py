"""One writer, many tasks: what returned is on disk, and one that fails takes no other with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from sttbatch.core.errors import StateError
from sttbatch.database.database import Database
from sttbatch.database.migrations import History
from sttbatch.database.opening import open_ledger
from sttbatch.database.sqlite_file import SqliteFile
from sttbatch.database.store import Session
from tests.database.backends import Backend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def database(backend: Backend, tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(backend.open_ledger(tmp_path, time.time)) as opened:
        yield opened


def index(name: int, db: Session) -> int:
    row = (str(name).encode(),)
    return db.execute("INSERT INTO files VALUES (?, 1, 1, 1, 1, 1, 'x')", row).rowcount


@pytest.fixture
def count(backend: Backend, tmp_path: Path) -> Callable[[], int]:
    """Rows that another reader finds."""

    def count() -> int:
        ((found,),) = backend.rows(tmp_path, "SELECT count(*) FROM files")
        return int(found)

    return count


def test_what_was_written_is_there_for_others(database: Database, count: Callable[[], int]) -> None:
    async def write() -> None:
        await asyncio.gather(*(database.write(partial(index, n)) for n in range(50)))

    asyncio.run(write())
    assert count() == 50


def test_a_task_that_fails_takes_no_other_with_it(
    database: Database, count: Callable[[], int]
) -> None:
    def twice(db: Session) -> None:
        index(1000, db)
        index(1000, db)

    async def write() -> list[object]:
        return await asyncio.gather(
            *(database.write(partial(index, n)) for n in range(5)),
            database.write(twice),
            return_exceptions=True,
        )

    *good, bad = asyncio.run(write())
    assert good == [1] * 5
    assert isinstance(bad, StateError)
    assert str(bad).startswith(database.title)
    assert count() == 5


def test_what_was_handed_over_is_done_though_nobody_waits(
    database: Database, count: Callable[[], int]
) -> None:
    async def write() -> None:
        task = asyncio.ensure_future(database.write(partial(index, 1)))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await database.read(lambda db: None)

    asyncio.run(write())
    assert count() == 1


def test_commits_wait_for_each_other_while_several_are_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, gate = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        waiting.set()
        gate.wait()

    monkeypatch.setattr("sttbatch.database.database.time", SimpleNamespace(sleep=wait))

    def commits() -> int:
        # SQLite counts them in the header of the file.
        return int.from_bytes(path.read_bytes()[24:28])

    async def main() -> tuple[int, int]:
        with contextlib.closing(open_ledger(path.parent)) as database:
            held = threading.Event()
            # Two together, after which commits wait for others.
            holding = asyncio.ensure_future(database.read(lambda _: held.wait()))
            await asyncio.sleep(0)
            together = [asyncio.ensure_future(database.write(partial(index, n))) for n in (1, 2)]
            await asyncio.sleep(0)
            held.set()
            await asyncio.gather(holding, *together)
            before = commits()
            first = asyncio.ensure_future(database.write(partial(index, 3)))
            await asyncio.to_thread(waiting.wait)
            second = asyncio.ensure_future(database.write(partial(index, 4)))
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(first, second)
            return before, commits()

    before, after = asyncio.run(main())
    assert after - before == 1


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError, match=r"ledger\.db: file is not a database"):
        open_ledger(path.parent)


def test_a_lock_that_cannot_be_had_is_named(path: Path) -> None:
    """And not waited for: who opens the file waits for its thread."""
    os.mkfifo(path.with_suffix(".lock"))
    with pytest.raises(StateError, match=r"ledger\.lock is not a regular file"):
        open_ledger(path.parent)


def test_a_migration_that_fails_otherwise_is_told(path: Path) -> None:
    class Broken(History, frozen=True):
        def apply(self, connection: sqlite3.Connection) -> None:
            raise ImportError("no module named sqlite_utils")

    with pytest.raises(ImportError, match="sqlite_utils"):
        Database(SqliteFile(path, Broken("x", "x", {})))


def test_files_are_private_from_the_first(path: Path) -> None:
    with contextlib.closing(open_ledger(path.parent)) as database:
        asyncio.run(database.write(partial(index, 1)))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_no_cursor_leaves_the_thread(database: Database) -> None:
    """Freed elsewhere, it would reset its statement while the thread uses the connection."""
    assert asyncio.run(database.read(lambda db: db.execute("SELECT 1"))) is None
