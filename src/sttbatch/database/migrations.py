"""The ledger's tables, as numbered steps; a step that has been released never changes.

SQL that reads and writes a table stands in the room that owns it; their shapes stand here,
because one file of state has one history.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from sttbatch.core.errors import StateError

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtilsDatabase

LEDGER: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "0001_results",
        (
            # The authority on what was paid for. `value` is JSON; `sha256` is over key and value,
            # so that a value under the wrong key is as invalid as a damaged one.
            """CREATE TABLE cache_entries (
                key TEXT PRIMARY KEY,
                value BLOB NOT NULL,
                sha256 BLOB NOT NULL,
                engine TEXT NOT NULL,
                model TEXT NOT NULL,
                audio_s REAL NOT NULL,
                created_at REAL NOT NULL
            ) STRICT""",
            # One row per post, kept for ever: this is what money is counted from.
            """CREATE TABLE requests (
                id INTEGER PRIMARY KEY,
                at REAL NOT NULL,
                chunk_key TEXT NOT NULL,
                engine TEXT NOT NULL,
                model TEXT NOT NULL,
                attempt INTEGER NOT NULL,
                status INTEGER,
                error TEXT,
                request_id TEXT,
                latency_s REAL NOT NULL,
                audio_s REAL NOT NULL,
                sent_bytes INTEGER NOT NULL,
                cost REAL NOT NULL,
                maybe_paid INTEGER NOT NULL
            ) STRICT""",
            "CREATE INDEX requests_at ON requests (at)",
            "CREATE INDEX requests_chunk_key ON requests (chunk_key)",
        ),
    ),
    (
        "0002_recordings",
        (
            """CREATE TABLE files (
                path BLOB PRIMARY KEY,
                size_bytes INTEGER NOT NULL,
                mtime_ns INTEGER NOT NULL,
                ctime_ns INTEGER NOT NULL,
                inode INTEGER NOT NULL,
                indexed_at_ns INTEGER NOT NULL,
                sha256 TEXT NOT NULL
            ) STRICT""",
            # Where a recording was cut, so that a later run with other flags keeps every stretch
            # that has its words. `request_sha256` stands for everything that decides an answer.
            """CREATE TABLE cuts (
                file_sha256 TEXT NOT NULL,
                stream INTEGER NOT NULL,
                request_sha256 TEXT NOT NULL,
                start_pts INTEGER NOT NULL,
                end_pts INTEGER NOT NULL,
                start_overlap INTEGER NOT NULL,
                end_overlap INTEGER NOT NULL,
                start_s REAL NOT NULL,
                end_s REAL NOT NULL,
                anchors TEXT NOT NULL,
                chunk_key TEXT NOT NULL,
                PRIMARY KEY (file_sha256, stream, request_sha256, start_pts, end_pts)
            ) STRICT, WITHOUT ROWID""",
            "CREATE INDEX cuts_chunk_key ON cuts (chunk_key)",
            # `source` is the recording that owns the name, `sha256` what was written under it.
            """CREATE TABLE outputs (
                path BLOB PRIMARY KEY,
                source BLOB NOT NULL,
                format TEXT NOT NULL,
                sha256 TEXT NOT NULL,
                written_at REAL NOT NULL
            ) STRICT""",
            "CREATE INDEX outputs_source ON outputs (source)",
        ),
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the ledger to the newest shape, each step and its record in one transaction.

    The caller holds a lock: two processes must not migrate the same file at once.

    Raises:
        StateError: a newer sttbatch wrote this file.
    """
    applied = _applied(connection)
    known = [name for name, _ in LEDGER]
    unknown = sorted(applied - set(known))
    if unknown:
        raise StateError(
            f"the ledger was written by a newer sttbatch (it knows {unknown[-1]}); "
            "upgrade sttbatch, or set STTBATCH_DATA_DIR to another folder"
        )
    if applied == set(known):
        return
    # Importing sqlite-utils takes longer than opening the ledger, so only a first run pays it.
    from sqlite_utils import Database as SqliteUtilsDatabase
    from sqlite_utils.migrations import Migrations

    registry = Migrations("sttbatch.ledger")
    for name, statements in LEDGER:
        registry(name=name)(_step(statements))
    registry.apply(SqliteUtilsDatabase(connection))


def _applied(connection: sqlite3.Connection) -> set[str]:
    try:
        rows = connection.execute(
            "SELECT name FROM _sqlite_migrations WHERE migration_set = 'sttbatch.ledger'"
        )
        return {str(name) for (name,) in rows}
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return set()
        raise


def _step(statements: tuple[str, ...]) -> Callable[[SqliteUtilsDatabase], None]:
    def apply(db: SqliteUtilsDatabase) -> None:
        for statement in statements:
            db.execute(statement)

    apply.__name__ = "step"
    return apply
