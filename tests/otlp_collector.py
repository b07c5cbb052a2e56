"""A collector of OTLP/HTTP that decodes what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.listener import Listener, Request

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


def sent_to(collector: Listener, path: str) -> Iterator[Request]:
    for request in [*collector.requests]:
        assert request.headers["content-type"] == "application/x-protobuf"
        if request.path == path:
            yield request


def values(attributes: Iterator[KeyValue]) -> dict[str, Value]:
    found = {}
    for each in attributes:
        found[each.key] = getattr(each.value, str(each.value.WhichOneof("value")))
    return found
