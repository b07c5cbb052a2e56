"""Traces and figures by OTLP, where OpenTelemetry's own variables name a collector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from sttbatch.composition.extras import needs_otel
from sttbatch.composition.stores import statistics_sources
from sttbatch.core.addresses import without_password
from sttbatch.core.errors import NotificationError, StateError, UsageError
from sttbatch.core.events import Event

if TYPE_CHECKING:
    from sttbatch.composition.batch_run import BatchRun
    from sttbatch.composition.language_batch import LanguageBatch
    from sttbatch.composition.settings import Settings
    from sttbatch.monitoring.otlp import Telemetry
    from sttbatch.monitoring.otlp_metrics import Collected, Figures
    from sttbatch.monitoring.worker_exporter import WorkerCollector

SIGNALS = ("traces", "metrics")


def collector_of(signal: str) -> str | None:
    """The address that `traces` or `metrics` are sent to; None: they are not sent."""
    found, name = os.environ, signal.upper()
    is_off = found.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if is_off or found.get(f"OTEL_{name}_EXPORTER", "").strip().lower() == "none":
        return None
    address = found.get(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")
    return address or found.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None


@contextlib.asynccontextmanager
async def exported_run(run: BatchRun | LanguageBatch, settings: Settings) -> AsyncIterator[None]:
    """Send a trace of each recording of the block, and the ledger's totals after it.

    Nothing that happens to them fails it.
    """

    def totals() -> Collected:
        # In a thread of its own: a database that does not answer may take its time.
        return asyncio.run(_totals(settings))

    telemetry = _opened(platform.node(), run.warn, run.listeners, totals, periodic=False)
    is_known = False
    try:
        yield
        is_known = not isinstance(run.report.fatal, StateError)
    finally:
        await _close(telemetry, last_figures=is_known)


@contextlib.asynccontextmanager
async def exported_worker(
    warn: Callable[[str], None],
    listeners: list[Callable[[Event], None]],
    collector: Callable[[], WorkerCollector],
) -> AsyncIterator[None]:
    """Send a trace of each recording of the block, and now and then what a scrape would find.

    Nothing that happens to them fails it.
    """
    loop = asyncio.get_running_loop()

    def figures() -> Collected:
        return asyncio.run_coroutine_threadsafe(collector().collect(), loop).result()

    instance = f"{platform.node()}:{os.getpid()}"
    telemetry = _opened(instance, warn, listeners, figures, periodic=True)
    try:
        yield
    finally:
        await _close(telemetry, last_figures=False)


async def describe_collectors() -> str:
    """What takes what; raises UsageError without the extra, NotificationError if one does not."""
    with needs_otel():
        from sttbatch.monitoring.otlp import failure_of_check
    found: dict[str, list[str]] = {}
    for signal in SIGNALS:
        if (address := collector_of(signal)) is None:
            continue
        reason = await asyncio.to_thread(failure_of_check, signal)
        if reason is not None:
            raise NotificationError(reason)
        found.setdefault(without_password(address.partition("?")[0]), []).append(signal)
    return "; ".join(f"{name} takes {' and '.join(taken)}" for name, taken in found.items())


def _opened(
    instance: str,
    warn: Callable[[str], None],
    listeners: list[Callable[[Event], None]],
    figures: Figures,
    *,
    periodic: bool,
) -> Telemetry | None:
    """What is sent, if anything is; its listener is added."""
    traces, metrics = (collector_of(signal) is not None for signal in SIGNALS)
    if not (traces or metrics):
        return None
    try:
        with needs_otel():
            from sttbatch.monitoring.otlp import Telemetry
        telemetry = Telemetry(
            instance, warn, traces=traces, figures=figures if metrics else None, periodic=periodic
        )
    except (UsageError, ValueError) as error:
        warn(f"nothing is sent to the OTLP collector: {error}")
        return None
    if telemetry.traces is not None:
        listeners.append(telemetry.traces)
    return telemetry


async def _close(telemetry: Telemetry | None, *, last_figures: bool) -> None:
    # A user who quits does not wait for a collector.
    task = asyncio.current_task()
    if telemetry is not None and not (task is not None and task.cancelling()):
        await telemetry.aclose(last_figures=last_figures)


async def _totals(settings: Settings) -> Collected:
    from sttbatch.monitoring.exporter import all_families

    with statistics_sources(settings) as sources:
        return await all_families(sources)
