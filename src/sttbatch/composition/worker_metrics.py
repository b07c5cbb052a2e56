"""The figures of a worker, for Prometheus; imported only where somebody asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import ledger_name
from sttbatch.composition.workshop import Workshop
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import WorkerLoad
from sttbatch.core.ports import MetricsStore
from sttbatch.database.orders import SqlOrders
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.kinds.transcription.ordering import route_of
from sttbatch.monitoring.statistics import Sources

try:
    from sttbatch.monitoring.worker_exporter import (
        LedgerFigures,
        MetricsServer,
        OwnFigures,
        WorkerCollector,
    )
except ModuleNotFoundError as missing:
    if missing.name is None or missing.name.partition(".")[0] != "prometheus_client":
        raise
    raise UsageError(
        "figures for Prometheus need prometheus_client: pip install 'sttbatch[prometheus]'"
    ) from missing


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
