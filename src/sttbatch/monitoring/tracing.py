"""RecordingTraces: a trace for each recording, made of the events of a run.

Needs the extra `otel`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from msgspec import Struct
from opentelemetry.context import Context
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_RESEND_COUNT,
    HTTP_RESPONSE_STATUS_CODE,
)
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from sttbatch.core import events
from sttbatch.core.jobs import TRANSCRIPTION
from sttbatch.core.metrics import OK
from sttbatch.monitoring.collector import cause_of

# Conventions that may still change.
FILE_PATH = "file.path"
HTTP_REQUEST_BODY_SIZE = "http.request.body.size"

Attributes: TypeAlias = Mapping[str, str | bool | int | float]

_NS = 1_000_000_000
_LEAST_WAIT_S = 0.01


class _Trace(Struct, frozen=True):
    """A recording's own span; times are in nanoseconds.

    Attributes:
        begun: since the epoch.
        offset: from the monotonic clock to the epoch; a trace has one, whatever sets the time.
    """

    span: Span
    begun: int
    offset: int


class RecordingTraces:
    """A listener: a span for each recording, with children for what was done for it.

    Nothing says what was spoken: neither do spans have messages of errors, which may quote answers.
    Recordings that were up to date have no trace.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._traces: dict[str, _Trace] = {}
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.JobStarted: self._started,
            events.ChunkPrepared: lambda event: self._add(
                event, "cut", event.preparation_s, _chunk(event)
            ),
            events.ChunkProcessingStarted: lambda event: self._add(
                event, "wait", event.queue_wait_s, _chunk(event) | {"sttbatch.wait.for": "lane"}
            ),
            events.APIRequestCompleted: self._requested,
            events.AnswerStored: lambda event: self._add(
                event, "store", event.store_s, _chunk(event)
            ),
            events.TranscriptMerged: lambda event: self._add(event, "merge", event.merge_s, {}),
            events.OutputsWritten: self._written,
            events.JobCompleted: lambda event: self._end(
                event, "done", {"sttbatch.cached": event.cached}
            ),
            events.JobFailed: self._failed,
            events.JobSkipped: lambda event: self._end(event, event.outcome, {}),
        }

    def __call__(self, event: events.Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _begin(
        self,
        event: events.Event,
        before_s: float,
        attributes: Attributes,
        name: str = "transcribe",
    ) -> None:
        """Begin the trace of a recording `before_s` seconds ago."""
        offset = time.time_ns() - time.monotonic_ns()
        begun = time.monotonic_ns() + offset - int(before_s * _NS)
        # A name that is not in UTF-8 cannot be sent.
        path = event.recording.encode("utf-8", "backslashreplace").decode()
        span = self._tracer.start_span(
            name, Context(), attributes={FILE_PATH: path, **attributes}, start_time=begun
        )
        self._traces[event.recording] = _Trace(span, begun, offset)

    def _end(self, event: Any, outcome: str, attributes: Attributes) -> None:
        trace = self._traces.pop(event.recording, None)
        if trace is None:
            return
        trace.span.set_attributes(
            {"sttbatch.outcome": outcome, "sttbatch.audio.duration": event.audio_s, **attributes}
        )
        if outcome == "failed":
            trace.span.set_status(StatusCode.ERROR)
        trace.span.end(time.monotonic_ns() + trace.offset)

    def _add(
        self,
        event: events.Event,
        name: str,
        duration_s: float,
        attributes: Attributes,
        *,
        ended_s: float = 0.0,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Add a child that ended `ended_s` seconds ago; one with an `error.type` failed."""
        trace = self._traces.get(event.recording)
        if trace is None:
            return
        end = max(time.monotonic_ns() + trace.offset - int(ended_s * _NS), trace.begun)
        begin = max(end - int(duration_s * _NS), trace.begun)
        parent = set_span_in_context(trace.span, Context())
        span = self._tracer.start_span(name, parent, kind, attributes, start_time=begin)
        if ERROR_TYPE in attributes:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def _started(self, event: events.JobStarted) -> None:
        transcribed = self._traces.pop(event.recording, None)
        if transcribed is not None:
            # For the job that begins now, which reports the recording.
            transcribed.span.end(time.monotonic_ns() + transcribed.offset)
        name = "transcribe" if event.kind == TRANSCRIPTION else event.kind
        self._begin(event, 0.0, {"sttbatch.job.id": event.job}, name)

    def _requested(self, event: events.APIRequestCompleted) -> None:
        attributes: dict[str, str | bool | int | float] = _chunk(event) | {
            HTTP_REQUEST_BODY_SIZE: event.sent_bytes,
            "sttbatch.cost": event.cost,
            "sttbatch.maybe_paid": event.maybe_paid,
        }
        cause = cause_of(event.status, event.error)
        if cause != OK:
            attributes[ERROR_TYPE] = cause
        if event.status is not None:
            attributes[HTTP_RESPONSE_STATUS_CODE] = event.status
        if event.attempt > 1:
            attributes[HTTP_REQUEST_RESEND_COUNT] = event.attempt - 1
        if event.request_id is not None:
            attributes["sttbatch.request.id"] = event.request_id
        if event.rate_wait_s >= _LEAST_WAIT_S:
            waited = _chunk(event) | {"sttbatch.wait.for": "rate limit"}
            self._add(event, "wait", event.rate_wait_s, waited, ended_s=event.latency_s)
        self._add(event, "request", event.latency_s, attributes, kind=SpanKind.CLIENT)

    def _written(self, event: events.OutputsWritten) -> None:
        if event.recording not in self._traces:
            # Its transcript was stored, or is that of a copy.
            self._begin(event, event.write_s, {})
        self._add(event, "write", event.write_s, {})

    def _failed(self, event: events.JobFailed) -> None:
        if event.recording not in self._traces:
            self._begin(event, 0.0, {})
        self._end(event, "failed", {})


def _chunk(event: Any) -> dict[str, str | bool | int | float]:
    """What is known of the chunk, or of the piece of a chunk, of an event."""
    found = {
        "sttbatch.chunk.index": event.index,
        "sttbatch.chunk.piece": getattr(event, "piece", None),
        "sttbatch.audio.duration": getattr(event, "audio_s", None),
    }
    return {name: value for name, value in found.items() if value is not None}
