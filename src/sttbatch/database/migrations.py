"""Brings a file of state to its newest shape."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from sttbatch.core.errors import StateError
from sttbatch.database.ledger_tables import LEDGER

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtilsDatabase

__all__ = ["LEDGER", "migrate"]


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
