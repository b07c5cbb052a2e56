"""Totals since the first run as Prometheus wants them: base units, `_total`, few labels.

No label names a recording, so there are never more series than engines, models and causes.
Needs the extra `prometheus`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sttbatch.core.figures import Bucket, RequestTotal
from sttbatch.core.metrics import (
    BOUNDS,
    DOUBTED,
    DURATION_BOUNDS_S,
    GAP_ENDS,
    LIFETIME_METRICS,
    MISS,
    OK,
    RUN_OUTCOMES,
    RUNS_BEGUN,
    RUNS_ENDED,
    Metric,
)
from sttbatch.core.version import __version__
from sttbatch.monitoring.causes import cause_of
from sttbatch.monitoring.last_run_metrics import last_run_families
from sttbatch.monitoring.statistics import LEVELS, Sources

# Sums of whole numbers do not depend on their order, so no counter ever falls by a rounding error.
MICROS = 1_000_000

NO_CAUSE = "none"
"""The cause label of requests that did not fail."""

FORESEEN = ("429", "500", "502", "503", "504")
"""Causes that are exported before they occur: a series that appears with 1 is no increase."""

_REQUEST = ("engine", "model", "outcome", "cause")
_MODEL = ("engine", "model")


@dataclass(frozen=True, slots=True)
class _Counter:
    """How a metric with labels is exported; `foreseen` labels are 0 until they occur."""

    name: str
    help: str
    label: str | None = None
    foreseen: Sequence[str] = ()


_COUNTERS: Mapping[str, _Counter] = {
    RUNS_BEGUN: _Counter("runs_begun", "Runs of `sttbatch transcribe` that began", foreseen=("",)),
    RUNS_ENDED: _Counter(
        "runs_ended",
        "Runs that came to their end: all went well, some recordings failed, or the whole run was "
        "stopped (refused by the endpoint, at a budget); a killed one never ends",
        "outcome",
        RUN_OUTCOMES,
    ),
    Metric.RECORDINGS: _Counter(
        "recordings",
        "Recordings that were dealt with; unchanged ones had their outputs already",
        "outcome",
        ("transcribed", "cached", "unchanged", "failed"),
    ),
    Metric.AUDIO_SECONDS: _Counter(
        "recording_audio_seconds",
        "Audio in recordings that were transcribed, or cached as a whole",
        "outcome",
        ("transcribed", "cached"),
    ),
    Metric.SAVED_SECONDS: _Counter(
        "saved_audio_seconds", "Audio that the cache spared from being sent", foreseen=("",)
    ),
    Metric.SAVED_COST: _Counter(
        "saved_cost_rubles",
        "What sending the audio would have cost that the cache spared",
        foreseen=("",),
    ),
    Metric.RETRIES: _Counter(
        "request_retries",
        "Requests sent again, by what the one before failed of",
        "cause",
        FORESEEN,
    ),
    Metric.AUDIT_GAPS: _Counter(
        "audit_gaps",
        "Stretches of sound that came back without words, by what became of them",
        "finding",
        GAP_ENDS,
    ),
    Metric.AUDIT_SEGMENTS: _Counter(
        "audit_doubted_segments",
        "Segments that were doubted: repetition loops, words over digital silence",
        "finding",
        DOUBTED,
    ),
    Metric.AUDIT_ASKED_SECONDS: _Counter(
        "audit_asked_audio_seconds", "Audio that the audit asked for again", foreseen=("",)
    ),
    Metric.CONNECTIONS: _Counter(
        "connections",
        "Connections to the endpoint: opened, reused for another request, replaced in time",
        "event",
        ("opened", "reused", "replaced"),
    ),
}
_HISTOGRAMS: Mapping[str, tuple[str, str]] = {
    Metric.QUEUE_WAIT_SECONDS: (
        "queue_wait_seconds",
        "How long a chunk that was ready waited for a free lane",
    ),
    Metric.RATE_WAIT_SECONDS: (
        "rate_limit_wait_seconds",
        "How long a request was held back to stay within the rate limit",
    ),
    Metric.PREPARATION_SECONDS: (
        "chunk_preparation_seconds",
        "How long a chunk took to be cut and encoded",
    ),
}


async def exposition(sources: Sources) -> bytes:
    """Prometheus's text format, UTF-8."""
    return generate_latest(await registry(sources))


async def registry(sources: Sources) -> CollectorRegistry:
    """Everything that is exported, as it is at this moment."""
    filled = CollectorRegistry()
    filled.register(_Families([family async for family in _families(sources)]))
    return filled


class _Families(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


async def _families(sources: Sources) -> AsyncIterator[Family]:
    metrics, usage = sources.metrics, sources.usage
    yield InfoMetricFamily("sttbatch_build", "This sttbatch", {"version": __version__})
    for family in last_run_families(await metrics.last_begun(), await metrics.last_ended()):
        yield family
    for family in _request_families(await usage.request_totals()):
        yield family
    yield _duration_family(await usage.durations())
    for name in (RUNS_BEGUN, RUNS_ENDED, *LIFETIME_METRICS):
        found = await metrics.lifetime(name)
        if name in _HISTOGRAMS:
            yield _histogram(*_HISTOGRAMS[name], found, BOUNDS[name])
        elif name == Metric.CACHE_LOOKUPS:
            yield _lookups(found)
        else:
            yield _counter(_COUNTERS.get(name) or _unforeseen(name), found)
    jobs = GaugeMetricFamily("sttbatch_jobs", "Jobs in the ledger, by state", labels=("state",))
    for state, count in (await usage.jobs_by_state()).items():
        jobs.add_metric([state.lower()], count)
    yield jobs
    yield GaugeMetricFamily(
        "sttbatch_dead_letters",
        "Recordings that failed and have no retries left; `sttbatch jobs list` names them",
        await usage.dead_letters(),
    )


def _unforeseen(name: str) -> _Counter:
    """A metric without an entry in _COUNTERS."""
    return _Counter(name, f"{name.replace('_', ' ').capitalize()}, by kind", "kind")


def _counter(shown: _Counter, found: Mapping[str, Sequence[Bucket]]) -> Family:
    labels = () if shown.label is None else (shown.label,)
    family = CounterMetricFamily(f"sttbatch_{shown.name}", shown.help, labels=labels)
    for label in dict.fromkeys((*shown.foreseen, *found)):
        value = sum(each.total for each in found.get(label, ()))
        family.add_metric([label] if labels else [], value)
    return family


def _lookups(found: Mapping[str, Sequence[Bucket]]) -> Family:
    family = CounterMetricFamily(
        "sttbatch_cache_lookups",
        "Looks into the cache: hits by the level that had it (L1 memory, L2 disk, L3 ledger)",
        labels=("level", "result"),
    )
    totals = {label: sum(each.total for each in buckets) for label, buckets in found.items()}
    for level in LEVELS:
        family.add_metric([level, "hit"], totals.get(level, 0))
    family.add_metric(["none", "miss"], totals.get(MISS, 0))
    return family


def _histogram(
    name: str, text: str, found: Mapping[str, Sequence[Bucket]], bounds: Sequence[float]
) -> Family:
    family = HistogramMetricFamily(f"sttbatch_{name}", text, labels=())
    buckets = [bucket for each in found.values() for bucket in each]
    family.add_metric([], cumulative(buckets, bounds), sum(each.total for each in buckets))
    return family


def cumulative(buckets: Sequence[Bucket], bounds: Sequence[float]) -> list[tuple[str, float]]:
    """(upper end, how many values are not above it) of each, as Prometheus counts."""
    return [
        (
            "+Inf" if end == math.inf else str(float(end)),
            sum(each.count for each in buckets if each.bound <= end),
        )
        for end in (*bounds, math.inf)
    ]


def _duration_family(durations: Mapping[tuple[str, str], Sequence[Bucket]]) -> Family:
    family = HistogramMetricFamily(
        "sttbatch_request_duration_seconds",
        "How long answered requests took, from their beginning to the end of the answer",
        labels=_MODEL,
    )
    for model, buckets in durations.items():
        total = sum(each.total for each in buckets)
        family.add_metric(model, cumulative(buckets, DURATION_BOUNDS_S), total)
    return family


def _request_families(found: Sequence[RequestTotal]) -> Iterable[Family]:
    requests = CounterMetricFamily(
        "sttbatch_requests", "Requests to the engine, by how and why they ended", labels=_REQUEST
    )
    models = dict.fromkeys((each.engine, each.model) for each in found)
    counts = {
        (*model, cause): 0
        for model in models
        for cause in ((NO_CAUSE, *FORESEEN) if model[0] != "local" else (NO_CAUSE,))
    }
    for each in found:
        cause = cause_of(each.status, each.error)
        series = (each.engine, each.model, NO_CAUSE if cause == OK else cause)
        counts[series] = counts.get(series, 0) + each.count
    for (engine, model, cause), count in counts.items():
        outcome = "answered" if cause == NO_CAUSE else "failed"
        requests.add_metric([engine, model, outcome, cause], count)
    yield requests
    for name, text, field, unit in (
        (
            "requests_maybe_paid", "Requests that may be billed though no words came",
            "maybe_paid", 1,
        ),
        ("cost_rubles", "What requests cost, possibly billed ones included", "cost_micros", MICROS),
        ("upload_bytes", "Bytes sent in requests", "sent_bytes", 1),
        ("sent_audio_seconds", "Audio in requests, each time it was sent", "sent_micros", MICROS),
        ("paid_audio_seconds", "Audio that was billed, or may have been", "paid_micros", MICROS),
    ):  # fmt: skip
        family = CounterMetricFamily(f"sttbatch_{name}", text, labels=_MODEL)
        for key in models:
            of_model = [each for each in found if (each.engine, each.model) == key]
            family.add_metric(key, sum(getattr(each, field) for each in of_model) / unit)
        yield family
