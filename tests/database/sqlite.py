"""What tests look at that only SQLite has."""

from __future__ import annotations

import sqlite3

from sttbatch.database.database import Session


def connection(session: Session) -> sqlite3.Connection:
    """The connection that a unit of work runs on."""
    assert isinstance(session, sqlite3.Connection)
    return session


def trace(session: Session, statements: list[str]) -> None:
    """Add every statement from now on to `statements`."""
    connection(session).set_trace_callback(statements.append)


def changes(session: Session) -> int:
    """Rows changed since the file was opened."""
    return connection(session).total_changes
