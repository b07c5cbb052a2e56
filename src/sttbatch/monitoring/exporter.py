"""Totals since the first run as Prometheus wants them: base units, `_total`, few labels.

No label names a recording, so there are never more series than engines, models and causes.
Needs the extra `prometheus`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sttbatch.core.metrics import (
    BOUNDS,
    DURATION_BOUNDS_S,
    GAP_ENDS,
    LIFETIME_METRICS,
    MISS,
    OK,
    RUN_OUTCOMES,
    RUNS_BEGUN,
    RUNS_ENDED,
    SUSPECT_SEGMENTS,
    Bucket,
    Metric,
    RequestTotal,
    RunEnd,
)
from sttbatch.core.version import __version__
from sttbatch.monitoring.collector import cause_of
from sttbatch.monitoring.statistics import Sources, hits_by_level

# Sums of whole numbers do not depend on their order, so no counter ever falls by a rounding error.
MICROS = 1_000_000

NO_CAUSE = "none"
"""The cause label of requests that did not fail."""

FORESEEN = ("429", "500", "502", "503", "504")
"""Causes that are exported before they occur: a series that appears with 1 is no increase."""

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
        "Spans of sound that came back without words, by what became of them",
        "finding",
        GAP_ENDS,
    ),
    Metric.AUDIT_SEGMENTS: _Counter(
        "audit_doubted_segments",
        "Suspect segments: repetition loops, words that nobody spoke",
        "finding",
        SUSPECT_SEGMENTS,
    ),
    Metric.AUDIT_ASKED_SECONDS: _Counter(
        "audit_asked_audio_seconds", "Audio that the audit sent again", foreseen=("",)
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
    """Everything that is exported, as it is at this moment: Prometheus's text format, UTF-8."""
    return generate_latest(_Families([family async for family in _families(sources)]))


class _Families(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Sequence[Family]:
        return self._families


async def _families(sources: Sources) -> AsyncIterator[Family]:
    metrics, usage = sources.metrics, sources.usage
    yield InfoMetricFamily("sttbatch_build", "This sttbatch", {"version": __version__})
    for family in _last_run_families(await metrics.last_begun(), await metrics.last_ended()):
        yield family
    for family in _request_families(await usage.request_totals()):
        yield family
    yield _histogram(
        "request_duration_seconds",
        "How long answered requests took, from their beginning to the end of the answer",
        await usage.durations(),
        DURATION_BOUNDS_S,
        _MODEL,
    )
    for name in (RUNS_BEGUN, RUNS_ENDED, *LIFETIME_METRICS):
        found = await metrics.lifetime(name)
        totals = {label: sum(each.total for each in buckets) for label, buckets in found.items()}
        if name in _HISTOGRAMS:
            buckets = [*chain.from_iterable(found.values())]
            yield _histogram(*_HISTOGRAMS[name], {(): buckets}, BOUNDS[name])
        elif name == Metric.CACHE_LOOKUPS:
            yield _lookups(totals)
        else:
            text = f"{name.replace('_', ' ').capitalize()}, by kind"
            yield _counter(_COUNTERS.get(name) or _Counter(name, text, "kind"), totals)
    jobs = {state.lower(): count for state, count in (await usage.jobs_by_state()).items()}
    yield _family(GaugeMetricFamily, "jobs", "Jobs in the ledger, by state", jobs, "state")
    yield _gauge(
        "dead_letters",
        "Recordings that failed and have no retries left; `sttbatch jobs list` names them",
        await usage.dead_letters(),
    )


def _last_run_families(
    begun: tuple[float, int] | None, ended: tuple[float, RunEnd] | None
) -> Iterator[Family]:
    """Nothing where no run has begun, or none has ended yet."""
    if begun is not None:
        at, lanes = begun
        yield _gauge("last_run_begin_timestamp_seconds", "When the last run began", at)
        yield _gauge("last_run_lanes", "Requests that the last run could send at once", lanes)
    if ended is None:
        return
    at, end = ended
    yield _gauge("last_run_end_timestamp_seconds", "When the last run that ended did so", at)
    yield _gauge(
        "last_run_success",
        "1 if the last run that ended failed at nothing; what other runs work on is no failure",
        end.error is None and not end.failed,
    )
    yield _family(
        GaugeMetricFamily,
        "last_run_recordings",
        "Recordings of the last run that ended; remaining: left to other runs, or not come to",
        {"done": end.done, "failed": end.failed, "remaining": end.remaining},
        "outcome",
    )


def _family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    values: Mapping[str, float],
    label: str | None = None,
) -> Family:
    """Values by what stands in `label`; without a label there is one value, under ""."""
    family = kind(f"sttbatch_{name}", text, labels=[label] if label else [])
    for each, value in values.items():
        family.add_metric([each] if label else [], value)
    return family


def _gauge(name: str, text: str, value: float) -> Family:
    return _family(GaugeMetricFamily, name, text, {"": value})


def _counter(shown: _Counter, totals: Mapping[str, float]) -> Family:
    values = {**dict.fromkeys(shown.foreseen, 0.0), **totals}
    return _family(CounterMetricFamily, shown.name, shown.help, values, shown.label)


def _lookups(totals: Mapping[str, float]) -> Family:
    family = CounterMetricFamily(
        "sttbatch_cache_lookups",
        "Looks into the cache: hits by the level that had it (L1 memory, L2 disk, L3 ledger)",
        labels=("level", "result"),
    )
    for level, hits in hits_by_level(totals).items():
        family.add_metric([level, "hit"], hits)
    family.add_metric(["none", "miss"], totals.get(MISS, 0))
    return family


def _histogram(
    name: str,
    text: str,
    found: Mapping[Any, Sequence[Bucket]],
    bounds: Sequence[float],
    labels: Sequence[str] = (),
) -> Family:
    """The buckets of a histogram, by what stands in `labels`."""
    family = HistogramMetricFamily(f"sttbatch_{name}", text, labels=labels)
    ends = {str(float(end)): end for end in bounds} | {"+Inf": math.inf}
    for values, buckets in found.items():
        # How many values are not above each end.
        counts = [
            (label, sum(each.count for each in buckets if each.bound <= end))
            for label, end in ends.items()
        ]
        family.add_metric(values, counts, sum(each.total for each in buckets))
    return family


def _request_families(found: Sequence[RequestTotal]) -> Iterator[Family]:
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
    requests = CounterMetricFamily(
        "sttbatch_requests",
        "Requests to the engine, by how and why they ended",
        labels=(*_MODEL, "outcome", "cause"),
    )
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
