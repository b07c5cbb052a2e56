"""The files that statistics are read from, opened for one command."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from sttbatch.composition.paths import data_folder
from sttbatch.composition.run_metrics import open_metrics
from sttbatch.composition.settings import Settings
from sttbatch.core.errors import StateError
from sttbatch.database.opening import LEDGER_FILE, METRICS_FILE, open_ledger
from sttbatch.database.sqlite_file import connect
from sttbatch.monitoring.statistics import Sources


@contextlib.contextmanager
def statistics_sources(settings: Settings) -> Iterator[Sources]:
    """Both files, as they are, for the thread that asks.

    Raises:
        StateError: one of them cannot be opened or read.
    """
    folder = data_folder(settings)
    # Opened as a run does, which makes what is missing and brings old files up to date.
    open_metrics(settings).close()
    open_ledger(folder).close()
    with (
        contextlib.closing(connect(folder / METRICS_FILE)) as metrics,
        contextlib.closing(connect(folder / LEDGER_FILE)) as ledger,
    ):
        try:
            yield Sources(metrics, ledger)
        except sqlite3.Error as error:
            raise StateError(
                f"the files of state in {folder} cannot be read: {error}; "
                "`sttbatch doctor` tells more"
            ) from error
