"""Sends traces to a collector by OTLP/HTTP, in background threads; OTEL_* variables say where.

Needs the extra `otel`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
import re
import threading
import time
from collections.abc import Callable

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from sttbatch.core.version import __version__
from sttbatch.monitoring.tracing import RecordingTraces

FLUSH_S = 5.0
"""How long the end waits for the collector."""

RETELL_S = 3600.0
"""A collector that fails is warned of at most so often."""

_QUERY = re.compile(r"\?[^\s)]*")


class Telemetry:
    """Traces on their way to a collector, whose failures are a warning and nothing else.

    Args:
        instance: this process, or what stands for it; OTEL_RESOURCE_ATTRIBUTES may name another.
        warn: called in the running event loop.

    Attributes:
        traces: the listener that they are made by.

    Raises ValueError for variables that OpenTelemetry refuses.
    """

    def __init__(self, instance: str, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._warn_at = 0.0
        _listen(self._tell)
        self._provider = TracerProvider(resource=resource_of(instance), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self.traces = RecordingTraces(self._provider.get_tracer("sttbatch", __version__))

    async def aclose(self) -> None:
        """Send what is left, for `FLUSH_S` seconds at most."""
        # A daemon: it may wait for its collector for longer than that.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, FLUSH_S)
        if closing.is_alive():
            self._warn_seldom(f"not everything was sent within {FLUSH_S:.0f} s")

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


def failure_of_check() -> str | None:
    """Why the collector does not take traces; None: it does. Blocks for `FLUSH_S` seconds."""
    reasons: list[str] = []
    _listen(reasons.append)
    # One without spans is valid, and changes nothing.
    taken = OTLPSpanExporter(timeout=FLUSH_S).export([]) is SpanExportResult.SUCCESS
    return None if taken else reasons[0]


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
        # Addresses may have a token in their query.
        self._tell(_QUERY.sub("", record.getMessage()))
