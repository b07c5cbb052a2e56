"""Whether the last run began, ended and went well, as gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from sttbatch.core.metrics import RunEnd


def last_run_families(
    begun: tuple[float, int] | None, ended: tuple[float, RunEnd] | None
) -> Iterator[Family]:
    """Nothing where no run has begun, or none has ended yet."""
    if begun is not None:
        at, lanes = begun
        yield GaugeMetricFamily(
            "sttbatch_last_run_begin_timestamp_seconds", "When the last run began", at
        )
        yield GaugeMetricFamily(
            "sttbatch_last_run_lanes", "Requests that the last run could send at once", lanes
        )
    if ended is None:
        return
    at, end = ended
    yield GaugeMetricFamily(
        "sttbatch_last_run_end_timestamp_seconds", "When the last run that ended did so", at
    )
    yield GaugeMetricFamily(
        "sttbatch_last_run_success",
        "1 if the last run that ended failed at nothing; what other runs work on is no failure",
        end.error is None and not end.failed,
    )
    recordings = GaugeMetricFamily(
        "sttbatch_last_run_recordings",
        "Recordings of the last run that ended; remaining: left to other runs, or not come to",
        labels=("outcome",),
    )
    for outcome in ("done", "failed", "remaining"):
        recordings.add_metric([outcome], getattr(end, outcome))
    yield recordings
