"""Percentiles and means of what was measured, over any window of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.core.metrics import Metric, Window
from sttbatch.core.ports import MetricsStore


@dataclass(frozen=True, slots=True)
class Distribution:
    """Values in ascending order; without any, its figures are None."""

    ordered: Sequence[float]

    @property
    def count(self) -> int:
        return len(self.ordered)

    @property
    def mean(self) -> float | None:
        return sum(self.ordered) / self.count if self.ordered else None

    @property
    def largest(self) -> float | None:
        return self.ordered[-1] if self.ordered else None

    def summary(self) -> dict[str, float | None]:
        """The figures that people compare, by their names."""
        named = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)}
        return {**named, "mean": self.mean}

    def percentile(self, percent: float) -> float | None:
        """Linear interpolation between the two nearest values, as numpy's default.

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
    """Figures of single metrics; it holds the values of one metric in one window at a time."""

    def __init__(self, store: MetricsStore) -> None:
        self._store = store

    async def distribution(
        self, metric: Metric, window: Window, label: str | None = None
    ) -> Distribution:
        """Of all values, or of those with a label."""
        return Distribution(sorted(await self._store.values(metric, window, label)))

    async def events(self, metric: Metric, window: Window) -> dict[str, int]:
        """The sums of a counter by label, as the whole numbers that they are."""
        totals = await self._store.totals(metric, window)
        return {label: round(total) for label, total in totals.items()}
