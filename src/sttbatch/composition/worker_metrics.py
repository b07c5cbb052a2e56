"""The figures of a worker, for Prometheus; imported only where somebody asks for them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import AsyncIterator, Callable

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.extras import needs_prometheus
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import ledger_name
from sttbatch.composition.workshop import Workshop
from sttbatch.core.errors import NotificationError
from sttbatch.core.jobs import WorkerLoad
from sttbatch.core.ports import MetricsStore
from sttbatch.database.orders import SqlOrders
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.kinds.ordering import route_of
from sttbatch.monitoring.statistics import Sources

with needs_prometheus():
    from sttbatch.monitoring.worker_exporter import (
        LedgerFigures,
        MetricsServer,
        OwnFigures,
        WorkerCollector,
    )

WRITE_EVERY_S = 15.0
"""As often as Prometheus usually scrapes."""


def worker_collector(
    settings: Settings,
    workshop: Callable[[], Workshop | None],
    measurements: Callable[[], MetricsStore | None],
    load: Callable[[], WorkerLoad],
) -> WorkerCollector:
    """What collects the figures of a worker, whose stores are None while they are not open."""
    config = run_config_of(settings)
    route = route_of(config.request)

    def own() -> OwnFigures:
        opened = workshop()
        connections = {} if opened is None else opened.database.connections()
        return OwnFigures(load(), connections, config.run.requests_per_minute)

    def ledger() -> LedgerFigures | None:
        opened, metrics = workshop(), measurements()
        if opened is None or metrics is None:
            return None
        name = ledger_name(settings, opened.database)
        sources = Sources(metrics, UsageFigures(opened.database), name)
        orders = SqlOrders(opened.database)
        return LedgerFigures(sources, orders, opened.workers.all_living, route)

    return WorkerCollector(own, ledger)


@contextlib.asynccontextmanager
async def served(port: int, collector: WorkerCollector) -> AsyncIterator[int]:
    """Answer scrapes at a port, whose number is yielded; raises as `MetricsServer`."""
    async with contextlib.aclosing(MetricsServer(port, collector)) as server:
        yield server.port


@contextlib.asynccontextmanager
async def written(
    url: str, collector: WorkerCollector, warn: Callable[[str], None]
) -> AsyncIterator[None]:
    """Send figures to a receiver of remote write; `warn` is called once per incident.

    Raises UsageError if `url` is no address of one.
    """
    # Importing httpx is slow.
    from sttbatch.external.notifications import JOB, receiver_at, remote_write

    with needs_prometheus():
        from sttbatch.monitoring.remote_write import message

    receiver = receiver_at(url)
    target = {"job": JOB, "instance": f"{platform.node()}:{os.getpid()}"}

    async def write() -> None:
        is_well = True
        while True:
            try:
                families = await collector.collect()
                await remote_write(receiver, message(families, target, int(time.time() * 1000)))
                is_well = True
            except NotificationError as error:
                # Totals do not miss what is left out.
                if is_well:
                    warn(str(error))
                is_well = False
            await asyncio.sleep(WRITE_EVERY_S)

    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.wait([writing])
