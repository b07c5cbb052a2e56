"""Figures over time: latencies, spending by day, and who waited for what in the last run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.database.session import Session
from sttbatch.monitoring.aggregator import Distribution, Window
from sttbatch.monitoring.metrics import OK, Metric

POINTS = 120
REQUESTS_SHOWN = 400

LATENCIES = """
    SELECT at, value FROM measurements
    WHERE metric = ? AND at >= ? AND at < ? AND label = 'ok' ORDER BY at"""
LAST = "SELECT run FROM measurements WHERE metric = ? ORDER BY at DESC LIMIT 1"
# The same run and number under each metric are the same request.
REQUESTS = """
    SELECT sent.at, sent.value, sent.label, sent.subject,
           coalesce(rate.value, 0.0), coalesce(queue.value, 0.0)
    FROM measurements AS sent
    LEFT JOIN measurements AS rate ON rate.metric = 'rate_wait_seconds'
        AND rate.at = sent.at AND rate.run = sent.run AND rate.number = sent.number
    LEFT JOIN measurements AS queue ON queue.metric = 'queue_wait_seconds'
        AND queue.at = sent.at AND queue.run = sent.run AND queue.number = sent.number
    WHERE sent.metric = 'request_seconds' AND sent.run = :run
        AND sent.at >= (SELECT begun_at FROM runs WHERE id = :run)
    ORDER BY sent.at DESC LIMIT :limit"""


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """The answers of a short stretch of time that begins `at`."""

    at: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request of a run; it was cut, waited for a lane, then for the rate limit, then was sent.

    Attributes:
        ended_at: seconds since the epoch; the others are lengths in seconds.
        outcome: `ok` or what went wrong.
        chunk: `3#0` is the first one of the run's third recording.
    """

    ended_at: float
    latency_s: float
    outcome: str
    chunk: str
    rate_wait_s: float
    queue_wait_s: float

    @property
    def sent_at(self) -> float:
        return self.ended_at - self.latency_s

    @property
    def in_lane_at(self) -> float:
        return self.sent_at - self.rate_wait_s

    @property
    def queued_at(self) -> float:
        return self.in_lane_at - self.queue_wait_s

    @property
    def is_ok(self) -> bool:
        return self.outcome == OK


def latency_over_time(metrics: Session, window: Window) -> list[LatencyPoint]:
    """At most `POINTS`, over the time in which there were requests."""
    row = (Metric.REQUEST_SECONDS, window.since, window.until)
    samples = metrics.execute(LATENCIES, row).fetchall()
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    step = (last - first) / POINTS or 1.0
    stretches: dict[int, list[float]] = {}
    for at, value in samples:
        stretches.setdefault(min(int((at - first) / step), POINTS - 1), []).append(value)
    points = []
    for number, values in stretches.items():
        found = Distribution(sorted(values))
        p50, p95 = found.percentile(50), found.percentile(95)
        assert p50 is not None
        assert p95 is not None
        points.append(LatencyPoint(first + number * step, p50, p95))
    return points


def last_run(metrics: Session) -> list[RequestSeen]:
    """The last `REQUESTS_SHOWN` requests of the run that was the last to send, in that order."""
    found = metrics.execute(LAST, (Metric.REQUEST_SECONDS,)).fetchone()
    if found is None:
        return []
    rows = metrics.execute(REQUESTS, {"run": found[0], "limit": REQUESTS_SHOWN})
    return sorted((RequestSeen(*row) for row in rows), key=lambda each: each.in_lane_at)


def lanes(requests: Sequence[RequestSeen]) -> list[list[RequestSeen]]:
    """Each request into the first lane that is free by then."""
    found: list[list[RequestSeen]] = []
    for each in requests:
        for lane in found:
            if lane[-1].ended_at <= each.in_lane_at:
                lane.append(each)
                break
        else:
            found.append([each])
    return found
