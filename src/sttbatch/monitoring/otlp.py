"""Sends traces and figures by OTLP/HTTP in background threads; OTEL_* variables say where.

Needs the extra `otel`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from sttbatch.core.addresses import without_password
from sttbatch.core.version import __version__
from sttbatch.monitoring.otlp_metrics import FamiliesSender, Figures
from sttbatch.monitoring.tracing import RecordingTraces

FLUSH_S = 5.0
"""How long the end waits for the collector."""

RETELL_S = 3600.0
"""A collector that fails is warned of at most so often."""

_SHORT = 3
"""Characters of a value that is no key, and that any message may contain."""

_QUERY = re.compile(r"\?[^\s)]*")


class Telemetry:
    """Traces and figures for a collector, whose failures are a warning and nothing else.

    Args:
        instance: this process, or what stands for it; OTEL_RESOURCE_ATTRIBUTES may name another.
        warn: called in the running event loop.
        traces: whether there are any.
        figures: None: there are none.
        periodic: figures are sent now and then.

    Attributes:
        traces: the listener that they are made by.

    Raises ValueError for variables that OpenTelemetry refuses.
    """

    def __init__(
        self,
        instance: str,
        warn: Callable[[str], None],
        *,
        traces: bool,
        figures: Figures | None,
        periodic: bool,
    ) -> None:
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._warn_at = 0.0
        _listen(self._tell)
        resource = resource_of(instance)
        self.traces: RecordingTraces | None = None
        self._sender: FamiliesSender | None = None
        self._closers: list[Callable[[], None]] = []
        if traces:
            provider = TracerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            self.traces = RecordingTraces(provider.get_tracer("sttbatch", __version__))
            self._closers.append(provider.shutdown)
        if figures is not None:
            self._sender = FamiliesSender(figures, resource, self._tell)
            if periodic:
                self._sender.start()

    async def aclose(self, *, last_figures: bool) -> None:
        """Send what is left, and figures if they are asked for, for `FLUSH_S` seconds at most."""
        closers = [*self._closers]
        if self._sender is not None:
            closers.append(partial(self._sender.close, last=last_figures))
        ends = [self._in_thread(close) for close in closers]
        _, late = await asyncio.wait(ends, timeout=FLUSH_S)
        if late:
            self._warn_seldom(f"not everything was sent within {FLUSH_S:.0f} s")

    def _in_thread(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """The end of `work`, which may last longer than the process."""
        end: asyncio.Future[None] = self._loop.create_future()

        def run() -> None:
            try:
                work()
            finally:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(end.set_result, None)

        # Those of asyncio's pool are waited for when the loop is closed.
        threading.Thread(target=run, daemon=True).start()
        return end

    def _tell(self, message: str) -> None:
        """Warn of a failure in the event loop, from any thread."""
        # The loop of a process that ends may be closed.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._warn_seldom, message)

    def _warn_seldom(self, message: str) -> None:
        now = time.monotonic()
        if now >= self._warn_at:
            self._warn_at = now + RETELL_S
            self._warn(f"OpenTelemetry: {message}")


def resource_of(instance: str) -> Resource:
    """What sends; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES prevail."""
    return Resource.create(
        {
            "service.name": "sttbatch",
            "service.version": __version__,
            "service.instance.id": instance,
            "host.name": platform.node(),
            **OTELResourceDetector().detect().attributes,
        }
    )


def failure_of_check(signal: str) -> str | None:
    """Why the collector takes no `traces`, or `metrics`; None: it does.

    Blocks for `FLUSH_S` seconds at most.
    """
    reasons: list[str] = []
    _listen(reasons.append)
    # What is empty is valid, and changes nothing.
    if signal == "traces":
        is_taken = OTLPSpanExporter(timeout=FLUSH_S).export([]) is SpanExportResult.SUCCESS
    else:
        sent = OTLPMetricExporter(timeout=FLUSH_S).export(MetricsData([]))
        is_taken = sent is MetricExportResult.SUCCESS
    return None if is_taken else reasons[0]


def _listen(tell: Callable[[str], None]) -> None:
    """Have what OpenTelemetry logs about its collector told, and not on standard error."""
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(_Failures(tell))
    logger.propagate = False


class _Failures(logging.Handler):
    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        # Addresses may have a password, or a token in their query.
        self._tell(_without_headers(without_password(_QUERY.sub("", record.getMessage()))))


def _without_headers(text: str) -> str:
    """A message without the values of the collector's headers, which may be keys."""
    for signal in ("", "_TRACES", "_METRICS"):
        for header in os.environ.get(f"OTEL_EXPORTER_OTLP{signal}_HEADERS", "").split(","):
            value = (header.partition("=")[2] or header).strip()
            # As it is given, as it is sent, and as an exception quotes it.
            for form in (value, unquote(value), repr(unquote(value))[1:-1]):
                if len(form) > _SHORT:
                    text = text.replace(form, "***")
    return text
