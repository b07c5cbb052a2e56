"""Opens the databases of a data folder."""

from __future__ import annotations

import time
from pathlib import Path

from sttbatch.database.database import Database
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.sqlite_file import Clock, SqliteFile


def open_ledger(data_folder: Path, clock: Clock = time.time) -> Database:
    """Open ledger.db, whose times are all by `clock`, in seconds since the epoch.

    Raises StateError if it cannot be opened, is damaged, or was written by a newer sttbatch.
    """
    return Database(SqliteFile(data_folder / "ledger.db", LEDGER_HISTORY, clock=clock))


def open_metrics(data_folder: Path, clock: Clock = time.time) -> Database:
    """Open metrics.db, which may lose its last second in a power failure; raises StateError too."""
    return Database(SqliteFile(data_folder / "metrics.db", METRICS_HISTORY, "NORMAL", clock))
