"""A collector of OTLP/HTTP that decodes what it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TypeAlias

from msgspec import Struct
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.listener import Listener, Request
from tests.monitoring.exposed import Key

Value: TypeAlias = str | bool | int | float


class Span(Struct, frozen=True):
    """A span that came; times in nanoseconds since the epoch."""

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    begin: int
    end: int
    is_error: bool
    message: str
    attributes: dict[str, Value]
    resource: dict[str, Value]

    def holds(self, other: Span) -> bool:
        """Whether another one is its child, and within its time."""
        is_within = self.begin <= other.begin <= other.end <= self.end
        return is_within and (other.trace, other.parent) == (self.trace, self.id)


def spans(collector: Listener) -> list[Span]:
    """All that came, by their begin."""
    found = []
    for request in sent_to(collector, "/v1/traces"):
        for of_resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            resource = values(of_resource.resource.attributes)
            found += [
                Span(
                    span.trace_id,
                    span.span_id,
                    span.parent_span_id,
                    span.name,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code == Status.STATUS_CODE_ERROR,
                    span.status.message,
                    values(span.attributes),
                    resource,
                )
                for scope in of_resource.scope_spans
                for span in scope.spans
            ]
    return sorted(found, key=lambda span: span.begin)


def traces(collector: Listener) -> dict[str, tuple[Span, list[Span]]]:
    """Each recording's own span and its children, by its path; there is one for each."""
    everything = spans(collector)
    roots = {str(span.attributes["file.path"]): span for span in everything if not span.parent}
    assert len(roots) == sum(not span.parent for span in everything)
    assert len({span.trace for span in roots.values()}) == len(roots)
    return {
        path: (root, [span for span in everything if span.parent == root.id])
        for path, root in roots.items()
    }


def figures(collector: Listener) -> dict[Key, float]:
    """The figures that came last, as what takes them for Prometheus would name them."""
    if not (sent := [*sent_to(collector, "/v1/metrics")]):
        return {}
    request = sent[-1]
    (of_resource,) = ExportMetricsServiceRequest.FromString(request.body).resource_metrics
    assert values(of_resource.resource.attributes)["service.name"] == "sttbatch"
    found: dict[Key, float] = {}
    for scope in of_resource.scope_metrics:
        for metric in scope.metrics:
            assert metric.description
            for key, value in samples_of(metric):
                assert key not in found
                found[key] = value
    return found


def samples_of(metric: Metric) -> Iterator[tuple[Key, float]]:
    cumulative = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for point in metric.gauge.data_points:
        yield (metric.name, labels_of(point.attributes)), point.as_double
    for point in metric.sum.data_points:
        assert (metric.sum.is_monotonic, metric.sum.aggregation_temporality) == (True, cumulative)
        yield (f"{metric.name}_total", labels_of(point.attributes)), point.as_double
    for distribution in metric.histogram.data_points:
        assert metric.histogram.aggregation_temporality == cumulative
        labels = labels_of(distribution.attributes)
        bounds = [*map(str, distribution.explicit_bounds), "+Inf"]
        counts = accumulate(distribution.bucket_counts)
        for bound, count in zip(bounds, counts, strict=True):
            yield (f"{metric.name}_bucket", labels | {("le", bound)}), count
        yield (f"{metric.name}_count", labels), distribution.count
        yield (f"{metric.name}_sum", labels), distribution.sum


def labels_of(attributes: Iterable[KeyValue]) -> frozenset[tuple[str, str]]:
    return frozenset((name, str(value)) for name, value in values(attributes).items())


def sent_to(collector: Listener, path: str) -> Iterator[Request]:
    for request in [*collector.requests]:
        assert request.headers["content-type"] == "application/x-protobuf"
        if request.path == path:
            yield request


def values(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    found = {}
    for each in attributes:
        found[each.key] = getattr(each.value, str(each.value.WhichOneof("value")))
    return found
