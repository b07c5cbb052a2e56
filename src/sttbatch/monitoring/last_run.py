"""Whether the last run began, ended and went well, as gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from sttbatch.database.session import Session

LAST_BEGUN = "SELECT begun_at, lanes FROM runs ORDER BY begun_at DESC LIMIT 1"
LAST_ENDED = """
    SELECT ended_at, error IS NULL AND failed = 0, done, failed, remaining
    FROM run_ends ORDER BY ended_at DESC LIMIT 1"""


def last_run_families(metrics: Session) -> Iterator[Family]:
    """Nothing where no run has begun, or none has ended yet."""
    begun = metrics.execute(LAST_BEGUN).fetchone()
    if begun is not None:
        at, lanes = begun
        yield GaugeMetricFamily(
            "sttbatch_last_run_begin_timestamp_seconds", "When the last run began", at
        )
        yield GaugeMetricFamily(
            "sttbatch_last_run_lanes", "Requests that the last run could send at once", lanes
        )
    ended = metrics.execute(LAST_ENDED).fetchone()
    if ended is None:
        return
    at, succeeded, *counts = ended
    yield GaugeMetricFamily(
        "sttbatch_last_run_end_timestamp_seconds", "When the last run that ended did so", at
    )
    yield GaugeMetricFamily(
        "sttbatch_last_run_success",
        "1 if the last run that ended failed at nothing; what other runs work on is no failure",
        succeeded,
    )
    recordings = GaugeMetricFamily(
        "sttbatch_last_run_recordings",
        "Recordings of the last run that ended; remaining: left to other runs, or not come to",
        labels=("outcome",),
    )
    for outcome, count in zip(("done", "failed", "remaining"), counts, strict=True):
        recordings.add_metric([outcome], count)
    yield recordings
