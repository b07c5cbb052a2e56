"""Traces by OTLP, where OpenTelemetry's own variables name a collector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from sttbatch.composition.extras import needs_otel
from sttbatch.core.addresses import without_password
from sttbatch.core.errors import NotificationError, UsageError
from sttbatch.core.events import Event

if TYPE_CHECKING:
    from sttbatch.monitoring.otlp import Telemetry


def collector_of(signal: str) -> str | None:
    """The address that `traces` or `metrics` are sent to; None: they are not sent."""
    found, name = os.environ, signal.upper()
    is_off = found.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or found.get(f"OTEL_{name}_EXPORTER", "").strip().lower() == "none":
        return None
    address = found.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")
    return address or found.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


@contextlib.asynccontextmanager
async def traced(
    listeners: list[Callable[[Event], None]], warn: Callable[[str], None], instance: str = ""
) -> AsyncIterator[None]:
    """Send a trace of each recording of the block; nothing that happens to them fails it.

    `instance` is this process; by default the machine stands for it.
    """
    telemetry = None
    if collector_of("traces") is not None:
        telemetry = _opened(instance or platform.node(), warn)
    if telemetry is None:
        yield
        return
    listeners.append(telemetry.traces)
    try:
        yield
    finally:
        # A user who quits does not wait for a collector.
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            await telemetry.aclose()


async def describe_collector() -> str:
    """What takes traces; raises UsageError without the extra, NotificationError if nothing does."""
    with needs_otel():
        from sttbatch.monitoring.otlp import failure_of_check
    reason = await asyncio.to_thread(failure_of_check)
    if reason is not None:
        raise NotificationError(reason)
    address = (collector_of("traces") or "").partition("?")[0]
    return f"{without_password(address)} takes traces"


def _opened(instance: str, warn: Callable[[str], None]) -> Telemetry | None:
    try:
        with needs_otel():
            from sttbatch.monitoring.otlp import Telemetry
        return Telemetry(instance, warn)
    except (UsageError, ValueError) as error:
        warn(f"nothing is sent to the OTLP collector: {error}")
        return None
