"""Statistics of a window of time: work, cost, cache, waits, failures.

Cost, counts of requests and names of recordings come from the ledger, which keeps every request for
ever; durations come from metrics.db, which keeps 30 days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from sttbatch.core.jobs import TRANSCRIPTION
from sttbatch.core.metrics import (
    GAP_ENDS,
    MISS,
    OK,
    Metric,
    RecordingOutcome,
    RequestFigures,
    RunCounts,
    Window,
)
from sttbatch.core.ports import MetricsStore, UsageStore

LEVELS = ("L1", "L2", "L3")
"""Cache levels that are shown even without a hit."""

LISTED = 5
"""Maximum number of slowest and of failed recordings."""

_Count = TypeVar("_Count", int, float)


class Distribution(Struct, frozen=True):
    """Values in ascending order; without values, figures are None."""

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
        """The percentiles and the mean, by name."""
        named = {f"p{percent}": self.percentile(percent) for percent in (50, 95, 99)}
        return {**named, "mean": self.mean}

    def percentile(self, percent: float) -> float | None:
        """Linear interpolation between the two nearest values, the default of numpy."""
        if not self.ordered:
            return None
        position = percent / 100 * (self.count - 1)
        below = int(position)
        low = self.ordered[below]
        high = self.ordered[min(below + 1, self.count - 1)]
        return low + (high - low) * (position - below)


class Aggregator:
    """Figures of single metrics, with the values of one metric in memory at a time."""

    def __init__(self, store: MetricsStore) -> None:
        self._store = store

    async def distribution(
        self, metric: Metric, window: Window, label: str | None = None
    ) -> Distribution:

        return Distribution(sorted(await self._store.values(metric, window, label)))

    async def events(self, metric: Metric, window: Window) -> dict[str, int]:
        """The sums of a counter by label, as integers."""
        totals = await self._store.totals(metric, window)
        return {label: round(total) for label, total in totals.items()}


class Group(Struct, frozen=True):
    """Requests of one model, engine, kind or day, and the latencies of those that were answered."""

    name: str
    requests: RequestFigures
    latency: Distribution


class CacheUse(Struct, frozen=True):
    """Cache lookups; `hits` by level."""

    lookups: int
    hits: Mapping[str, int]
    saved_s: float
    saved_cost: float

    @property
    def hit_rate(self) -> float | None:
        return sum(self.hits.values()) / self.lookups if self.lookups else None


class Throughput(Struct, frozen=True):
    """The use of lanes and rate limit while runs were sending.

    Attributes:
        busy_s: from the first request to the last answer of each run, summed up.
        lanes_used: mean number of requests in flight, out of `lanes`.
        busiest_minute: maximum number of requests in a minute, out of `rate_limit`.
    """

    audio_per_s: float | None
    busy_s: float
    lanes_used: float | None
    lanes: int | None
    busiest_minute: int
    rate_limit: int | None


class RepairFigures(Struct, frozen=True):
    """The results of gap detection and gap repair.

    Attributes:
        gaps: sound without words, by what became of it: filled, no_speech, refused, still_missing.
        loops: segments that repeated one phrase; nobody spoke the `unfounded` ones.
        asked_s: seconds of audio that were sent again.
    """

    gaps: Mapping[str, int]
    loops: int
    unfounded: int
    asked_s: float

    @property
    def gap_count(self) -> int:

        return sum(self.gaps.values())

    def __bool__(self) -> bool:
        return bool(self.gap_count or self.loops or self.unfounded)

    def named(self) -> dict[str, int]:
        """Each count by its name for people, zeros included."""
        names = ("filled", "without speech", "refused", "still missing", "loops", "not spoken")
        counts = (*map(self.gaps.__getitem__, GAP_ENDS), self.loops, self.unfounded)
        return dict(zip(names, counts, strict=True))


class Statistics(Struct, frozen=True):
    """All figures of one window.

    Attributes:
        recordings: by outcome: transcribed, cached, unchanged (nothing had to be written), failed.
        audio_s: of transcribed and of cached recordings.
        requests: of all kinds together.
        kinds: requests by kind.
        jobs: current numbers by state.
        errors: requests without an answer, by cause.
        retries: by the cause of the failure before.
        connections: opened, reused, replaced.
    """

    window: Window
    runs: RunCounts
    recordings: Mapping[str, int]
    audio_s: Mapping[str, float]
    requests: RequestFigures
    latency: Distribution
    queue_wait: Distribution
    rate_wait: Distribution
    preparation: Distribution
    cache: CacheUse
    throughput: Throughput
    jobs: Mapping[str, int]
    errors: Mapping[str, int]
    retries: Mapping[str, int]
    connections: Mapping[str, int]
    repair: RepairFigures
    slowest: Sequence[RecordingOutcome]
    failed: Sequence[RecordingOutcome]
    kinds: Mapping[str, RequestFigures]


class Sources(Struct, frozen=True):
    """The stores that statistics are read from; `ledger` names them among others."""

    metrics: MetricsStore
    usage: UsageStore
    ledger: str = ""


async def statistics(sources: Sources, window: Window) -> Statistics:
    """Compute all figures of a window."""
    metrics, usage = sources.metrics, sources.usage
    figures = Aggregator(metrics)
    causes = await metrics.counts(Metric.REQUEST_SECONDS, window)
    return Statistics(
        window,
        await metrics.runs(window),
        await figures.events(Metric.RECORDINGS, window),
        await metrics.totals(Metric.AUDIO_SECONDS, window),
        (await usage.requests_by("all", window)).get("", RequestFigures()),
        await figures.distribution(Metric.REQUEST_SECONDS, window, OK),
        await figures.distribution(Metric.QUEUE_WAIT_SECONDS, window),
        await figures.distribution(Metric.RATE_WAIT_SECONDS, window),
        await figures.distribution(Metric.PREPARATION_SECONDS, window),
        await _cache_use(metrics, window),
        await _throughput(metrics, window),
        await usage.jobs_by_state(),
        {cause: count for cause, count in causes.items() if cause != OK},
        await figures.events(Metric.RETRIES, window),
        await figures.events(Metric.CONNECTIONS, window),
        await _repair_figures(metrics, window),
        await usage.slowest(window, LISTED),
        await usage.failed(window, LISTED),
        await usage.requests_by("kind", window),
    )


async def groups(sources: Sources, window: Window, by: str) -> list[Group]:
    """The requests of a window by `model`, `engine`, `kind` or `day` (local)."""
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    answered = (
        sources.usage.latencies_by_kind(window)
        if by == "kind"
        else sources.metrics.latencies(by, window)
    )
    for name, latency_s in await answered:
        latencies[name].append(latency_s)
    return [
        Group(name, requests, Distribution(sorted(latencies[name])))
        for name, requests in (await sources.usage.requests_by(by, window)).items()
    ]


def of_language_models(stats: Statistics) -> Mapping[str, RequestFigures]:
    """Requests of other kinds than transcription, where there were any."""
    return {kind: found for kind, found in stats.kinds.items() if kind != TRANSCRIPTION}


def hits_by_level(lookups: Mapping[str, _Count]) -> dict[str, _Count]:
    """The hits by level, from counts of lookups that include misses."""
    counts = {**dict.fromkeys(LEVELS, 0), **lookups}
    return {level: count for level, count in counts.items() if level != MISS}


async def _cache_use(metrics: MetricsStore, window: Window) -> CacheUse:
    lookups = await Aggregator(metrics).events(Metric.CACHE_LOOKUPS, window)
    saved_s = await metrics.totals(Metric.SAVED_SECONDS, window)
    saved_cost = await metrics.totals(Metric.SAVED_COST, window)
    return CacheUse(
        sum(lookups.values()), hits_by_level(lookups), saved_s.get("", 0.0), saved_cost.get("", 0.0)
    )


async def _throughput(metrics: MetricsStore, window: Window) -> Throughput:
    runs = await metrics.busy_runs(window)
    busiest = await metrics.busiest_minute(window)
    if not runs:
        return Throughput(None, 0.0, None, None, busiest, None)
    busy_s = sum(run.last - run.first for run in runs)
    sent_s = (await metrics.totals(Metric.REQUEST_AUDIO_SECONDS, window)).get(OK, 0.0)
    in_flight_s = sum(run.in_flight_s for run in runs)
    limits = [run.rate_limit for run in runs if run.rate_limit is not None]
    return Throughput(
        sent_s / busy_s if busy_s else None,
        busy_s,
        in_flight_s / busy_s if busy_s else None,
        max(run.lanes for run in runs),
        busiest,
        max(limits, default=None),
    )


async def _repair_figures(metrics: MetricsStore, window: Window) -> RepairFigures:
    """Answers count when they are repaired; reading them from the cache adds nothing."""
    figures = Aggregator(metrics)
    gaps = await figures.events(Metric.AUDIT_GAPS, window)
    segments = await figures.events(Metric.AUDIT_SEGMENTS, window)
    asked_s = await metrics.totals(Metric.AUDIT_ASKED_SECONDS, window)
    return RepairFigures(
        {end: gaps.get(end, 0) for end in GAP_ENDS},
        segments.get("loops", 0),
        segments.get("unfounded", 0),
        sum(asked_s.values()),
    )
