"""How often a worker that is scraped asks its ledger."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from sttbatch.core.jobs import WorkerLoad, WorkerState
from sttbatch.database.measurements import Measurements
from sttbatch.database.orders import SqlOrders
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.database.workers import LedgerWorkers
from sttbatch.monitoring.statistics import Sources
from sttbatch.monitoring.worker_exporter import (
    ASK_EVERY_S,
    LedgerFigures,
    OwnFigures,
    WorkerCollector,
)
from tests.database.backends import Backend


def test_the_ledger_is_asked_now_and_then_and_the_worker_always(
    backend: Backend, tmp_path: Path
) -> None:
    now, asked, load = 0.0, 0, WorkerLoad(lanes=4)
    opened = True

    async def scrape() -> dict[str, float]:
        found = await collector.collect()
        return {family.name: sum(sample.value for sample in family.samples) for family in found}

    with (
        contextlib.closing(backend.open_metrics(tmp_path, time.time)) as metrics,
        contextlib.closing(backend.open_ledger(tmp_path, time.time)) as database,
    ):
        sources = Sources(Measurements(metrics), UsageFigures(database), "ours")

        def ledger() -> LedgerFigures | None:
            nonlocal asked
            asked += 1
            if not opened:
                return None
            return LedgerFigures(sources, SqlOrders(database), LedgerWorkers(database).list, "r")

        collector = WorkerCollector(lambda: OwnFigures(load, {}, 60), ledger, lambda: now)

        async def scrapes() -> None:
            nonlocal now, load, opened
            first = await scrape()
            assert (first["sttbatch_worker_lanes"], first["sttbatch_queue_jobs"]) == (4, 0)
            load = WorkerLoad(lanes=8, state=WorkerState.DRAINING)
            now += ASK_EVERY_S / 2
            second = await scrape()
            assert asked == 1
            assert second.keys() == first.keys()
            assert (second["sttbatch_worker_lanes"], second["sttbatch_worker_draining"]) == (8, 1)
            now += ASK_EVERY_S / 2
            await scrape()
            assert asked == 2
            opened = False
            now += ASK_EVERY_S
            without = await scrape()
            assert (without["sttbatch_worker_lanes"], without["sttbatch_worker_ledger_up"]) == (
                8,
                0,
            )
            assert "sttbatch_queue_jobs" not in without
            opened = True
            assert (await scrape()).keys() == first.keys()

        asyncio.run(scrapes())
