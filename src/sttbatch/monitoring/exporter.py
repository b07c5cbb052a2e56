"""Lifetime totals in the Prometheus format, with few labels, which name no recordings.

Needs the extra `prometheus`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct
from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric as Family

from sttbatch.core.jobs import KINDS, TRANSCRIPTION
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
    KindTotal,
    Metric,
    RequestTotal,
    RunEnd,
)
from sttbatch.monitoring.collector import cause_of
from sttbatch.monitoring.families import Families, build_family, family_of, gauge, of_ledger
from sttbatch.monitoring.statistics import Sources, hits_by_level

# Sums of integers do not depend on their order, so no counter falls by a rounding error.
MICROS = 1_000_000

NO_CAUSE = "none"
"""The cause label of requests that did not fail."""

FORESEEN = ("429", "500", "502", "503", "504")
"""Causes that are exported before they occur, as a series that appears with 1 is no increase."""

_MODEL = ("engine", "model")


class _Counter(Struct, frozen=True):
    """How a metric with labels is exported; `foreseen` labels are 0 until they occur."""

    name: str
    help: str
    label: str | None = None
    foreseen: Sequence[str] = ()


_COUNTERS: Mapping[str, _Counter] = {
    RUNS_BEGUN: _Counter("runs_begun", "Runs of `sttbatch transcribe` that began", foreseen=("",)),
    RUNS_ENDED: _Counter(
        "runs_ended",
        "Runs that ended: succeeded, some recordings failed, or the whole run was stopped (refused "
        "by the endpoint, at a budget); killed runs do not count",
        "outcome",
        RUN_OUTCOMES,
    ),
    Metric.RECORDINGS: _Counter(
        "recordings",
        "Recordings that were processed; unchanged ones already had their outputs",
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
        "Cost of sending the audio that the cache spared",
        foreseen=("",),
    ),
    Metric.RETRIES: _Counter(
        "request_retries",
        "Requests sent again, by the cause of the failure before",
        "cause",
        FORESEEN,
    ),
    Metric.AUDIT_GAPS: _Counter(
        "audit_gaps",
        "Spans of sound that came back without words, by outcome",
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
        "Connections to the endpoint: opened, reused for another request, replaced",
        "event",
        ("opened", "reused", "replaced"),
    ),
}
_HISTOGRAMS: Mapping[str, tuple[str, str]] = {
    Metric.QUEUE_WAIT_SECONDS: (
        "queue_wait_seconds",
        "How long a chunk waited for a lane",
    ),
    Metric.RATE_WAIT_SECONDS: (
        "rate_limit_wait_seconds",
        "How long a request waited for the rate limit",
    ),
    Metric.PREPARATION_SECONDS: (
        "chunk_preparation_seconds",
        "How long it took to cut and encode a chunk",
    ),
}


async def exposition(sources: Sources) -> bytes:
    """The current totals in Prometheus's text format, UTF-8."""
    return generate_latest(Families(await all_families(sources)))


async def all_families(sources: Sources) -> list[Family]:
    """The current totals, and the last runs."""
    metrics = sources.metrics
    last_run = _last_run_families(await metrics.last_begun(), await metrics.last_ended())
    families = [*last_run, *await ledger_families(sources)]
    return [build_family(), *of_ledger(sources.ledger, families)]


async def ledger_families(sources: Sources) -> list[Family]:
    """Lifetime totals of all runs and workers together."""
    return [family async for family in _families(sources)]


async def _families(sources: Sources) -> AsyncIterator[Family]:
    metrics, usage = sources.metrics, sources.usage
    for family in _request_families(await usage.request_totals()):
        yield family
    for family in _kind_families(await usage.kind_totals()):
        yield family
    yield _histogram(
        "request_duration_seconds",
        "How long answered requests took, from their start to the end of the answer",
        await usage.durations(),
        DURATION_BOUNDS_S,
        _MODEL,
    )
    for name in (RUNS_BEGUN, RUNS_ENDED, *LIFETIME_METRICS):
        by_label = await metrics.lifetime(name)
        totals = {label: sum(part.total for part in parts) for label, parts in by_label.items()}
        if name in _HISTOGRAMS:
            buckets = [*chain.from_iterable(by_label.values())]
            yield _histogram(*_HISTOGRAMS[name], {(): buckets}, BOUNDS[name])
        elif name == Metric.CACHE_LOOKUPS:
            yield _lookups(totals)
        else:
            text = f"{name.replace('_', ' ').capitalize()}, by kind"
            yield _counter(_COUNTERS.get(name) or _Counter(name, text, "kind"), totals)
    jobs = {state.lower(): count for state, count in (await usage.jobs_by_state()).items()}
    yield family_of(GaugeMetricFamily, "jobs", "Jobs in the ledger, by state", jobs, "state")
    yield gauge(
        "dead_letters",
        "Recordings that failed and have no retries left; `sttbatch jobs list` names them",
        await usage.dead_letters(),
    )


def _last_run_families(
    begun: tuple[float, int] | None, ended: tuple[float, RunEnd] | None
) -> Iterator[Family]:
    """Families of the last run that began, and of the last one that ended, if any."""
    if begun is not None:
        at, lanes = begun
        yield gauge("last_run_begin_timestamp_seconds", "When the last run began", at)
        yield gauge("last_run_lanes", "Requests that the last run could send at once", lanes)
    if ended is None:
        return
    at, end = ended
    yield gauge("last_run_end_timestamp_seconds", "When the last run that ended did so", at)
    yield gauge(
        "last_run_success",
        "1 if nothing failed in the last run that ended; recordings of other runs are no failures",
        end.error is None and not end.failed,
    )
    yield family_of(
        GaugeMetricFamily,
        "last_run_recordings",
        "Recordings of the last run that ended; remaining: left to other runs, or not begun",
        {"done": end.done, "failed": end.failed, "remaining": end.remaining},
        "outcome",
    )


def _counter(counter: _Counter, totals: Mapping[str, float]) -> Family:
    values = {**dict.fromkeys(counter.foreseen, 0.0), **totals}
    return family_of(CounterMetricFamily, counter.name, counter.help, values, counter.label)


def _lookups(totals: Mapping[str, float]) -> Family:
    family = CounterMetricFamily(
        "sttbatch_cache_lookups",
        "Cache lookups: hits by level (L1 memory, L2 disk, L3 ledger), and misses",
        labels=("level", "result"),
    )
    for level, hits in hits_by_level(totals).items():
        family.add_metric([level, "hit"], hits)
    family.add_metric(["none", "miss"], totals.get(MISS, 0))
    return family


def _histogram(
    name: str,
    text: str,
    series: Mapping[Any, Sequence[Bucket]],
    bounds: Sequence[float],
    labels: Sequence[str] = (),
) -> Family:
    """A histogram of buckets by the values of `labels`."""
    family = HistogramMetricFamily(f"sttbatch_{name}", text, labels=labels)
    ends = {str(float(end)): end for end in bounds} | {"+Inf": math.inf}
    for values, buckets in series.items():
        # Prometheus's buckets are cumulative.
        counts = [
            (label, sum(bucket.count for bucket in buckets if bucket.bound <= end))
            for label, end in ends.items()
        ]
        family.add_metric(values, counts, sum(bucket.total for bucket in buckets))
    return family


def _kind_families(totals: Sequence[KindTotal]) -> Iterator[Family]:
    """Of answered requests alone, as those that were possibly billed may be booked anew."""
    for name, text, field, unit in (
        ("kind_requests", "Requests that were answered, by kind of job", "count", 1),
        ("kind_cost_rubles", "What answered requests cost, by kind of job", "cost_micros", MICROS),
    ):
        sums = dict.fromkeys(KINDS, 0.0)
        for total in totals:
            sums[total.kind] += getattr(total, field) / unit
        yield family_of(CounterMetricFamily, name, text, sums, "kind")
    tokens = CounterMetricFamily(
        "sttbatch_tokens",
        "Tokens that language models read (prompt) and wrote (generated)",
        labels=("kind", "model", "type"),
    )
    for total in totals:
        if total.kind != TRANSCRIPTION:
            tokens.add_metric([total.kind, total.model, "prompt"], total.prompt_tokens)
            tokens.add_metric([total.kind, total.model, "generated"], total.generated_tokens)
    yield tokens


def _request_families(totals: Sequence[RequestTotal]) -> Iterator[Family]:
    models = dict.fromkeys((total.engine, total.model) for total in totals)
    counts = {
        (*model, cause): 0
        for model in models
        for cause in ((NO_CAUSE, *FORESEEN) if model[0] != "local" else (NO_CAUSE,))
    }
    for total in totals:
        cause = cause_of(total.status, total.error)
        series = (total.engine, total.model, NO_CAUSE if cause == OK else cause)
        counts[series] = counts.get(series, 0) + total.count
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
            "requests_maybe_paid", "Failed requests that were possibly billed",
            "maybe_paid", 1,
        ),
        ("cost_rubles", "What requests cost, possibly billed ones included", "cost_micros", MICROS),
        ("upload_bytes", "Bytes sent in requests", "sent_bytes", 1),
        ("sent_audio_seconds", "Audio in requests, each time it was sent", "sent_micros", MICROS),
        ("paid_audio_seconds", "Audio that was billed or possibly billed", "paid_micros", MICROS),
    ):  # fmt: skip
        family = CounterMetricFamily(f"sttbatch_{name}", text, labels=_MODEL)
        for key in models:
            of_model = [total for total in totals if (total.engine, total.model) == key]
            family.add_metric(key, sum(getattr(total, field) for total in of_model) / unit)
        yield family
