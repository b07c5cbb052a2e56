"""What tests look at that only SQLite has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from sttbatch.database.store import Session


def connection(session: Session) -> sqlite3.Connection:
    """The connection that a unit of work runs on."""
    assert isinstance(session, sqlite3.Connection)
    return session


def trace(session: Session, callback: Callable[[str], object] | None) -> None:
    """Call `callback` with every statement from now on; None: no longer."""
    connection(session).set_trace_callback(callback)


def changes(session: Session) -> int:
    """Rows changed since the file was opened."""
    return connection(session).total_changes
