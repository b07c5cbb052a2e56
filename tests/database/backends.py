"""The databases that the suites of all stores run over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sttbatch.core.ports import RateStore
from sttbatch.database.database import Database
from sttbatch.database.opening import open_ledger, open_metrics
from sttbatch.database.rates import InMemoryRates, SqliteRates

Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True)
class Backend:
    """How state in a folder is opened in one kind of database."""

    open_ledger: Callable[[Path, Clock], Database]
    open_metrics: Callable[[Path, Clock], Database]
    open_rates: Callable[[Path, Clock], RateStore]


BACKENDS = {
    "sqlite": Backend(
        open_ledger,
        open_metrics,
        lambda folder, clock: SqliteRates(folder / "rate.db", "here", clock=clock),
    )
}

RATES = {"in memory": lambda _, clock: InMemoryRates(clock)} | {
    name: backend.open_rates for name, backend in BACKENDS.items()
}
"""Stores of the rate limit's state; one of them is no database."""
