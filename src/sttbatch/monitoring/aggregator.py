"""Percentiles, means and rates of what was measured, over any window of time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.database.session import Session
from sttbatch.monitoring.metrics import Metric

VALUES = "SELECT value FROM measurements WHERE metric = ? AND at >= ? AND at < ?"
LABELLED = f"{VALUES} AND label = ?"
TOTALS = """
    SELECT label, sum(value) FROM measurements
    WHERE metric = ? AND at >= ? AND at < ? GROUP BY label"""
COUNTS = """
    SELECT label, count(*) FROM measurements
    WHERE metric = ? AND at >= ? AND at < ? GROUP BY label"""


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` to before `until`, seconds since the epoch."""

    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """Samples in order; figures of none are None."""

    ordered: Sequence[float]

    @property
    def count(self) -> int:
        return len(self.ordered)

    @property
    def total(self) -> float:
        return sum(self.ordered)

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.ordered else None

    @property
    def largest(self) -> float | None:
        return self.ordered[-1] if self.ordered else None

    def percentile(self, percent: float) -> float | None:
        """Between the two nearest samples in proportion, as numpy's default does.

        Args:
            percent: 0 to 100.
        """
        if not self.ordered:
            return None
        position = percent / 100 * (self.count - 1)
        below = int(position)
        low = self.ordered[below]
        high = self.ordered[min(below + 1, self.count - 1)]
        return low + (high - low) * (position - below)


class Aggregator:
    """Reads metrics.db; never more than the rows of one metric in one window."""

    def __init__(self, db: Session) -> None:
        self._db = db

    def distribution(
        self, metric: Metric, window: Window, label: str | None = None
    ) -> Distribution:
        """All samples, or those with a label."""
        row: tuple[object, ...] = (metric, window.since, window.until)
        query = VALUES
        if label is not None:
            query, row = LABELLED, (*row, label)
        # A million floats are 8 MB in an array and 32 in a list, beside the sorted copy.
        values = array("d", (value for (value,) in self._db.execute(query, row)))
        return Distribution(sorted(values))

    def totals(self, metric: Metric, window: Window) -> dict[str, float]:
        """Sums by label."""
        row = (metric, window.since, window.until)
        return dict(self._db.execute(TOTALS, row).fetchall())

    def counts(self, metric: Metric, window: Window) -> dict[str, int]:
        """How many samples there are with each label."""
        row = (metric, window.since, window.until)
        return dict(self._db.execute(COUNTS, row).fetchall())

    def rate(self, metric: Metric, window: Window) -> float:
        """The sum of a metric for each second of the window."""
        return sum(self.totals(metric, window).values()) / (window.until - window.since)
