"""The ports of figures, and of the alerts over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sttbatch.core.metrics import (
    Bucket,
    BusyRun,
    KindTotal,
    MeasuredRequest,
    Measurement,
    Metric,
    RecordingOutcome,
    RequestFigures,
    RequestTotal,
    RunCounts,
    RunEnd,
    RunFacts,
    Window,
)


class MetricsStore(Protocol):
    """Measurements of runs: never changed, expired by age; their totals are kept for ever."""

    async def begin(self, facts: RunFacts) -> int:
        """Record a run and return its id."""

    async def record(self, run: int, measurements: Iterable[Measurement]) -> None: ...

    async def end(self, run: int, at: float, end: RunEnd) -> None: ...

    async def expire(self) -> None:
        """Move measurements past the retention age, by the store's clock, into the totals."""

    async def values(
        self, metric: Metric, window: Window, label: str | None = None
    ) -> Sequence[float]:
        """Values of a metric, all or those with one label."""

    async def totals(self, metric: Metric, window: Window) -> dict[str, float]:
        """Sums of values by label."""

    async def counts(self, metric: Metric, window: Window) -> dict[str, int]:
        """Numbers of values by label."""

    async def latencies(self, by: str, window: Window) -> list[tuple[Any, float]]:
        """(key, seconds) of every answer; keys are `by` model, engine, day (local) or time."""

    async def runs(self, window: Window) -> RunCounts: ...

    async def busy_runs(self, window: Window) -> list[BusyRun]: ...

    async def busiest_minute(self, window: Window) -> int:
        """The most requests that ended within one minute."""

    async def last_begun(self) -> tuple[float, int] | None:
        """When the last run began, and its number of lanes."""

    async def last_ended(self) -> tuple[float, RunEnd] | None:
        """When and how the latest run to end did so."""

    async def last_requests(self, limit: int) -> list[MeasuredRequest]:
        """The latest requests of the latest run that sent any."""

    async def lifetime(self, name: str) -> Mapping[str, Sequence[Bucket]]:
        """Totals by label since the first run, of a metric, `RUNS_BEGUN` or `RUNS_ENDED`."""


class UsageStore(Protocol):
    """Requests and jobs as the ledger counts them."""

    async def requests_by(self, by: str, window: Window) -> dict[str, RequestFigures]:
        """Requests by `all` (one group, ''), `model`, `engine`, `kind` or `day` (local)."""

    async def latencies_by_kind(self, window: Window) -> list[tuple[str, float]]:
        """(kind, seconds) of every answer."""

    async def request_totals(self) -> list[RequestTotal]: ...

    async def kind_totals(self) -> list[KindTotal]: ...

    async def durations(self) -> Mapping[tuple[str, str], Sequence[Bucket]]:
        """Seconds until an answer came, by engine and model, in `DURATION_BOUNDS_S`."""

    async def jobs_by_state(self) -> Mapping[str, int]:
        """Current numbers of jobs; 0 for states without a job."""

    async def dead_letters(self) -> int:
        """Jobs that failed and have no retries left."""

    async def slowest(self, window: Window, limit: int) -> list[RecordingOutcome]:
        """Completed jobs, the slowest first."""

    async def failed(self, window: Window, limit: int) -> list[RecordingOutcome]:
        """Failed jobs, the latest first."""


class AlertStore(Protocol):
    """Values that alert rules compare, and incidents that were notified, of all runs."""

    async def value(
        self, metric: str, window_s: float, kind: str | None = None, *, unresolved: bool = False
    ) -> float | None:
        """The metric over the last `window_s` seconds of the store's clock; None: no data.

        `kind` is that of its requests or jobs; None: all. `unresolved` includes jobs that failed at
        any time and are being tried again.
        """

    async def fire(self, name: str, condition: str) -> bool:
        """Record that a condition holds; True: it is a new incident, so the caller notifies."""

    async def clear(self, name: str, condition: str) -> None:
        """Record that a condition no longer holds."""

    async def since(self, name: str, condition: str) -> float | None:
        """When the current incident began; None: there is none."""
