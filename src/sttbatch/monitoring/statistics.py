"""What there is to say about a stretch of time: work, money, cache, waits, failures.

Money, counts of requests and names of recordings come from the ledger, which keeps every request
for ever; how long things took comes from metrics.db, which forgets after 30 days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sttbatch.database.session import Session
from sttbatch.monitoring.aggregator import Aggregator, Distribution, Window
from sttbatch.monitoring.metrics import MISS, OK, Metric
from sttbatch.monitoring.repair_metrics import AuditFindings, audit_findings

LEVELS = ("L1", "L2", "L3")
LISTED = 5
"""Of the slowest and of the failed recordings."""

REQUESTS = """
    SELECT {group}, count(*), sum(error IS NULL), sum(attempt > 1), sum(error IS NOT NULL),
           sum(maybe_paid), sum(cost), sum(sent_bytes),
           sum(iif((error IS NULL OR maybe_paid) AND engine <> 'local', quantity, 0.0))
    FROM requests WHERE at >= ? AND at < ? GROUP BY 1 ORDER BY 1"""
GROUPS = {
    "all": "''",
    "model": "model",
    "engine": "engine",
    "day": "date(at, 'unixepoch', 'localtime')",
}

LATENCIES = """
    SELECT {group}, value FROM measurements JOIN runs ON runs.id = run
    WHERE metric = ? AND at >= ? AND at < ? AND label = 'ok'"""

JOBS = "SELECT status, count(*) FROM processing_jobs GROUP BY status"

RUNS = """
    SELECT count(*), sum(ended_at IS NULL), sum(error IS NOT NULL)
    FROM runs LEFT JOIN run_ends ON run = id WHERE begun_at >= ? AND begun_at < ?"""
BUSY = """
    SELECT min(at - value), max(at), sum(value), lanes, rate_limit
    FROM measurements JOIN runs ON runs.id = run
    WHERE metric = ? AND at >= ? AND at < ? GROUP BY run"""
BUSIEST_MINUTE = """
    SELECT max(requests) FROM (
        SELECT count(*) AS requests FROM measurements
        WHERE metric = ? AND at >= ? AND at < ? GROUP BY CAST(at AS INTEGER) / 60)"""

SLOWEST = """
    SELECT payload ->> 'recording', payload ->> 'audio_s', completed_at - started_at,
           error_message, completed_at
    FROM processing_jobs
    WHERE status = 'COMPLETED' AND completed_at >= ? AND completed_at < ?
    ORDER BY completed_at - started_at DESC LIMIT ?"""
FAILED = """
    SELECT payload ->> 'recording', payload ->> 'audio_s', completed_at - started_at,
           error_message, completed_at
    FROM processing_jobs
    WHERE status = 'FAILED' AND completed_at >= ? AND completed_at < ?
    ORDER BY completed_at DESC LIMIT ?"""


@dataclass(frozen=True, slots=True)
class Requests:
    """Posts of a group, out of the ledger.

    Attributes:
        retried: those that were not a chunk's first.
        failed: those that brought no answer.
        paid_s: seconds of audio that were billed, or may have been.
    """

    total: int = 0
    ok: int = 0
    retried: int = 0
    failed: int = 0
    maybe_paid: int = 0
    cost: float = 0.0
    sent_bytes: int = 0
    paid_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Requests of one model, engine or day, and the latencies of those that were answered."""

    name: str
    requests: Requests
    latency: Distribution


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Looks into the cache; `hits` by level."""

    lookups: int
    hits: Mapping[str, int]
    saved_s: float
    saved_cost: float

    @property
    def hit_rate(self) -> float | None:
        return sum(self.hits.values()) / self.lookups if self.lookups else None


@dataclass(frozen=True, slots=True)
class Throughput:
    """How busy the endpoint was kept while runs were sending.

    Attributes:
        busy_s: from the first request to the last answer of each run, summed up.
        lanes_used: mean number of requests in flight; `lanes` could have been.
        busiest_minute: requests that ended in one minute; `rate_limit` a minute were allowed.
    """

    audio_per_s: float | None
    busy_s: float
    lanes_used: float | None
    lanes: int | None
    busiest_minute: int
    rate_limit: int | None


@dataclass(frozen=True, slots=True)
class RecordingSeen:
    """How a recording's job ended, `at` seconds since the epoch."""

    name: str
    audio_s: float
    took_s: float | None
    failure: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Runs:
    """How many began; `unfinished` go on or were killed, `stopped` ended with an error."""

    total: int
    unfinished: int
    stopped: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """All of it, for one window.

    Attributes:
        recordings: by outcome: transcribed, cached, unchanged (nothing had to be written), failed.
        audio_s: of those transcribed, and of those cached.
        jobs: by state, as they are now.
        errors: requests without an answer, by cause.
        retries: by the cause of the failure before.
        connections: opened, reused, replaced.
    """

    window: Window
    runs: Runs
    recordings: Mapping[str, int]
    audio_s: Mapping[str, float]
    requests: Requests
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
    audit: AuditFindings
    slowest: Sequence[RecordingSeen]
    failed: Sequence[RecordingSeen]


@dataclass(frozen=True, slots=True)
class Sources:
    """The two files that statistics are read from."""

    metrics: Session
    ledger: Session


def statistics(sources: Sources, window: Window) -> Statistics:
    """Everything about a window."""
    metrics = Aggregator(sources.metrics)
    return Statistics(
        window,
        _runs(sources.metrics, window),
        _whole(metrics.totals(Metric.RECORDINGS, window)),
        metrics.totals(Metric.AUDIO_SECONDS, window),
        requests_by(sources.ledger, window, "all").get("", Requests()),
        metrics.distribution(Metric.REQUEST_SECONDS, window, OK),
        metrics.distribution(Metric.QUEUE_WAIT_SECONDS, window),
        metrics.distribution(Metric.RATE_WAIT_SECONDS, window),
        metrics.distribution(Metric.PREPARATION_SECONDS, window),
        cache_use(sources.metrics, window),
        throughput(sources.metrics, window),
        dict(sources.ledger.execute(JOBS).fetchall()),
        {
            cause: count
            for cause, count in metrics.counts(Metric.REQUEST_SECONDS, window).items()
            if cause != OK
        },
        _whole(metrics.totals(Metric.RETRIES, window)),
        _whole(metrics.totals(Metric.CONNECTIONS, window)),
        audit_findings(metrics, window),
        _seen(sources.ledger, SLOWEST, window),
        _seen(sources.ledger, FAILED, window),
    )


def groups(sources: Sources, window: Window, by: str) -> list[Group]:
    """The requests of a window by `model`, `engine` or `day` (local)."""
    latencies: dict[str, list[float]] = {}
    query = LATENCIES.format(group=GROUPS[by])
    row = (Metric.REQUEST_SECONDS, window.since, window.until)
    for name, value in sources.metrics.execute(query, row):
        latencies.setdefault(name, []).append(value)
    return [
        Group(name, requests, Distribution(sorted(latencies.get(name, ()))))
        for name, requests in requests_by(sources.ledger, window, by).items()
    ]


def requests_by(ledger: Session, window: Window, by: str) -> dict[str, Requests]:
    """The ledger's requests by `all` (one group, named ''), `model`, `engine` or `day`."""
    query = REQUESTS.format(group=GROUPS[by])
    rows = ledger.execute(query, (window.since, window.until))
    return {name: Requests(*figures) for name, *figures in rows}


def cache_use(metrics: Session, window: Window) -> CacheUse:
    aggregator = Aggregator(metrics)
    found = _whole(aggregator.totals(Metric.CACHE_LOOKUPS, window))
    saved_s = aggregator.totals(Metric.SAVED_SECONDS, window).get("", 0.0)
    saved_cost = aggregator.totals(Metric.SAVED_COST, window).get("", 0.0)
    hits = {level: found.get(level, 0) for level in LEVELS}
    return CacheUse(sum(hits.values()) + found.get(MISS, 0), hits, saved_s, saved_cost)


def throughput(metrics: Session, window: Window) -> Throughput:
    row = (Metric.REQUEST_SECONDS, window.since, window.until)
    runs = metrics.execute(BUSY, row).fetchall()
    busiest = metrics.execute(BUSIEST_MINUTE, row).fetchone()[0] or 0
    if not runs:
        return Throughput(None, 0.0, None, None, busiest, None)
    busy_s = sum(last - first for first, last, *_ in runs)
    sent_s = Aggregator(metrics).totals(Metric.REQUEST_AUDIO_SECONDS, window).get(OK, 0.0)
    in_flight_s = sum(run[2] for run in runs)
    limits = [run[4] for run in runs if run[4] is not None]
    return Throughput(
        sent_s / busy_s if busy_s else None,
        busy_s,
        in_flight_s / busy_s if busy_s else None,
        max(run[3] for run in runs),
        busiest,
        max(limits, default=None),
    )


def _runs(metrics: Session, window: Window) -> Runs:
    row = metrics.execute(RUNS, (window.since, window.until)).fetchone()
    return Runs(*(count or 0 for count in row))


def _seen(ledger: Session, query: str, window: Window) -> list[RecordingSeen]:
    rows = ledger.execute(query, (window.since, window.until, LISTED))
    return [RecordingSeen(*row) for row in rows]


def _whole(totals: Mapping[str, float]) -> dict[str, int]:
    return {label: round(total) for label, total in totals.items()}
