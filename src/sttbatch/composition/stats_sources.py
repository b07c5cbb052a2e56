"""The stores that statistics are read from, opened for one command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sttbatch.composition.paths import data_folder
from sttbatch.composition.settings import Settings
from sttbatch.database.measurements import Measurements
from sttbatch.database.opening import open_ledger, open_metrics
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.monitoring.statistics import Sources


@contextlib.contextmanager
def statistics_sources(settings: Settings) -> Iterator[Sources]:
    """Both stores; what is missing is made, as a run does.

    Raises:
        StateError: one of them cannot be opened.
    """
    folder = data_folder(settings)
    with (
        contextlib.closing(open_metrics(folder)) as metrics,
        contextlib.closing(open_ledger(folder)) as ledger,
    ):
        yield Sources(Measurements(metrics), UsageFigures(ledger))
