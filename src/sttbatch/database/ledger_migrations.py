"""The ledger's shape, step by step."""

from __future__ import annotations

import sqlite3

from sttbatch.database.ledger_schema import LEDGER
from sttbatch.database.migrations import History

__all__ = ["LEDGER", "migrate"]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the ledger to the newest shape; as `History.apply`."""
    History("sttbatch.ledger", "the ledger", LEDGER).apply(connection)
