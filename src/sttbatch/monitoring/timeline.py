"""Figures over time: latencies, and which lane sent what in the last run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sttbatch.core.figures import MeasuredRequest
from sttbatch.core.metrics import Window
from sttbatch.core.ports import MetricsStore
from sttbatch.monitoring.aggregator import Distribution

POINTS = 120
REQUESTS_SHOWN = 400


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """Percentiles of the answers in a short time that begins `at`."""

    at: float
    p50: float
    p95: float


async def latency_over_time(metrics: MetricsStore, window: Window) -> list[LatencyPoint]:
    """At most `POINTS`, over the time in which there were requests."""
    samples = await metrics.latencies("time", window)
    if not samples:
        return []
    first, last = samples[0][0], samples[-1][0]
    step = (last - first) / POINTS or 1.0
    steps: defaultdict[int, list[float]] = defaultdict(list)
    for at, latency_s in samples:
        steps[min(int((at - first) / step), POINTS - 1)].append(latency_s)
    points = []
    for number, values in steps.items():
        distribution = Distribution(sorted(values))
        p50, p95 = distribution.percentile(50), distribution.percentile(95)
        assert p50 is not None
        assert p95 is not None
        points.append(LatencyPoint(first + number * step, p50, p95))
    return points


async def last_run(metrics: MetricsStore) -> list[MeasuredRequest]:
    """The last `REQUESTS_SHOWN` requests of the run that sent last, as they entered their lanes."""
    requests = await metrics.last_requests(REQUESTS_SHOWN)
    return sorted(requests, key=lambda each: each.in_lane_at)


def lanes(requests: Sequence[MeasuredRequest]) -> list[list[MeasuredRequest]]:
    """Each request in the first lane that is free by then."""
    occupied: list[list[MeasuredRequest]] = []
    for each in requests:
        for lane in occupied:
            if lane[-1].ended_at <= each.in_lane_at:
                lane.append(each)
                break
        else:
            occupied.append([each])
    return occupied
