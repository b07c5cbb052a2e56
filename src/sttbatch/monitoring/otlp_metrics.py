"""Prometheus's families as metrics of OTLP, and what sends them.

Needs the extra `otel`.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from itertools import pairwise
from typing import TypeAlias

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.environment_variables import OTEL_METRIC_EXPORT_INTERVAL
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric as Family

from sttbatch.core.errors import SttbatchError
from sttbatch.core.version import __version__

Collected: TypeAlias = Sequence[Family]
Figures: TypeAlias = Callable[[], Collected]
"""Collects families; blocks, and may raise SttbatchError."""

EVERY_MS = 60_000
"""As often as other SDKs send."""

_CUMULATIVE = AggregationTemporality.CUMULATIVE
# Totals are older than the process that sends them.
_UNKNOWN_NS = 0


class FamiliesSender(threading.Thread):
    """Sends families every OTEL_METRIC_EXPORT_INTERVAL milliseconds once it is started.

    `tell` is called with the reason if they cannot be collected.
    """

    def __init__(self, figures: Figures, resource: Resource, tell: Callable[[str], None]) -> None:
        # It may wait for its collector for longer than the process lives.
        super().__init__(name="otlp-metrics", daemon=True)
        self._figures = figures
        self._resource = resource
        self._tell = tell
        self._exporter = OTLPMetricExporter()
        self._every_s = _interval_s()
        self._closed = threading.Event()

    def run(self) -> None:
        while not self._closed.wait(self._every_s):
            self.send()

    def send(self) -> None:
        """Send the current values; blocks."""
        try:
            families = self._figures()
        except SttbatchError as error:
            self._tell(str(error))
        except (CancelledError, RuntimeError):
            # The event loop that collects them is closed.
            return
        else:
            self._exporter.export(metrics_data(families, self._resource, time.time_ns()))

    def close(self, *, last: bool) -> None:
        """Send nothing more, but the `last` values if there are any."""
        self._closed.set()
        if last:
            self.send()
        self._exporter.shutdown()


def _interval_s() -> float:
    """Raises ValueError for an interval that cannot be waited for."""
    text = os.environ.get(OTEL_METRIC_EXPORT_INTERVAL) or str(EVERY_MS)
    with contextlib.suppress(ValueError):
        interval_s = float(text) / 1000
        if 0 < interval_s < threading.TIMEOUT_MAX:
            return interval_s
    raise ValueError(f"{OTEL_METRIC_EXPORT_INTERVAL} = {text!r} is not a number of milliseconds")


def metrics_data(families: Iterable[Family], resource: Resource, at_ns: int) -> MetricsData:
    """The current values of families, as of `at_ns` nanoseconds since the epoch."""
    metrics = [_metric(family, at_ns) for family in families]
    scope = InstrumentationScope("sttbatch", __version__)
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _metric(family: Family, at_ns: int) -> Metric:
    # What has them for Prometheus adds `_total` to sums itself.
    name = f"{family.name}_info" if family.type == "info" else family.name
    data: Gauge | Histogram | Sum
    if family.type == "histogram":
        data = Histogram([*_distributions(family, at_ns)], _CUMULATIVE)
    else:
        points = [
            NumberDataPoint(sample.labels, _UNKNOWN_NS, at_ns, float(sample.value))
            for sample in family.samples
        ]
        is_sum = family.type == "counter"
        data = Sum(points, _CUMULATIVE, is_monotonic=True) if is_sum else Gauge(points)
    return Metric(name, family.documentation, "", data)


def _distributions(family: Family, at_ns: int) -> Iterator[HistogramDataPoint]:
    """A point for each series, whose buckets are cumulative in Prometheus."""
    series: defaultdict[frozenset[tuple[str, str]], dict[str, float]] = defaultdict(dict)
    for sample in family.samples:
        labels: Mapping[str, str] = sample.labels
        others = frozenset((name, text) for name, text in labels.items() if name != "le")
        series[others][labels.get("le", sample.name)] = sample.value
    for others, values in series.items():
        total = values.pop(f"{family.name}_sum")
        count = int(values.pop(f"{family.name}_count"))
        counts = [0, *(int(value) for value in values.values())]
        yield HistogramDataPoint(
            dict(others),
            _UNKNOWN_NS,
            at_ns,
            count,
            total,
            [after - before for before, after in pairwise(counts)],
            [float(bound) for bound in values if bound != "+Inf"],
            # Unknown; the encoder leaves them out.
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
        )
