"""Where the state in a data folder lies, and how it is opened."""

from __future__ import annotations

import time
from pathlib import Path

from sttbatch.database.database import Database
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.sqlite_file import Clock, SqliteFile


def open_ledger(data_folder: Path, clock: Clock = time.time) -> Database:
    """What was paid for: results, jobs, requests, files and outputs.

    Args:
        data_folder: it exists, and is private.
        clock: seconds since the epoch; every time that the ledger writes or compares is its.

    Raises:
        StateError: it cannot be opened, is damaged, or was written by a newer sttbatch.
    """
    return Database(SqliteFile(data_folder / "ledger.db", LEDGER_HISTORY, clock=clock))


def open_metrics(data_folder: Path, clock: Clock = time.time) -> Database:
    """What was measured, of which a power failure may cost the last second.

    Raises:
        StateError: as `open_ledger` does.
    """
    return Database(SqliteFile(data_folder / "metrics.db", METRICS_HISTORY, "NORMAL", clock))
