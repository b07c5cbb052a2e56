"""A run is recorded once, however its writes overlap."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from sttbatch.core.events import (
    APIRequestCompleted,
    ChunkPrepared,
    ChunkProcessingCompleted,
    ChunkProcessingStarted,
    JobCompleted,
)
from sttbatch.core.metrics import Metric, RunEnd, RunFacts, Window
from sttbatch.database.measurements import Measurements
from sttbatch.monitoring.collector import MetricsCollector
from tests.database.backends import Backend

FACTS = RunFacts(5.0, "cloudru", "m", 4, 600, 0.01)
EVENTS = 50
WINDOW = Window(0.0, 10.0)


def test_events_during_the_first_write_belong_to_the_same_run(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttbatch.monitoring.collector.FLUSH_EVERY_S", 0.0)
    warnings: list[str] = []

    async def story() -> None:
        with contextlib.closing(backend.open_metrics(tmp_path, lambda: 5.0)) as database:
            store = Measurements(database)
            collector = MetricsCollector(store, FACTS, warnings.append, lambda: 5.0)
            for index in range(EVENTS):
                collector(ChunkPrepared("talk.mp3", index, 1.0, 0.01))
                for _ in range(3):
                    await asyncio.sleep(0)
            await collector.aclose(RunEnd(1, 0, 0, 0))
            counts = await store.runs(WINDOW)
            assert (counts.total, counts.unfinished) == (1, 0)
            prepared = await store.counts(Metric.PREPARATION_SECONDS, WINDOW)
            assert prepared == {"": EVENTS}
            assert await store.last_ended() == (5.0, RunEnd(1, 0, 0, 0))

    asyncio.run(story())
    assert warnings == []


def test_what_comes_after_a_write_that_failed_is_kept(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sttbatch.monitoring.collector.FLUSH_EVERY_S", 0.0)
    monkeypatch.setattr("sttbatch.monitoring.collector.RETRY_AFTER_S", 0.0)
    warnings: list[str] = []

    async def story() -> None:
        failed = asyncio.Event()

        def warn(message: str) -> None:
            warnings.append(message)
            failed.set()

        with contextlib.closing(backend.open_metrics(tmp_path, lambda: 5.0)) as database:
            store = Measurements(database)
            collector = MetricsCollector(store, FACTS, warn, lambda: 5.0)
            await backend.refuse(database, "BEFORE INSERT ON measurements", "no room")
            collector(ChunkPrepared("talk.mp3", 0, 1.0, 0.01))
            await failed.wait()
            await backend.allow(database)
            collector(ChunkPrepared("talk.mp3", 1, 1.0, 0.02))
            await collector.aclose(RunEnd(1, 0, 0, 0))
            assert list(await store.values(Metric.PREPARATION_SECONDS, WINDOW)) == [0.02]
            assert await store.last_ended() == (5.0, RunEnd(1, 0, 0, 0))

    asyncio.run(story())
    assert len(warnings) == 1
    assert warnings[0].startswith("not all metrics of this run are kept: ")


def test_a_piece_of_gap_repair_has_its_own_name_wait_causes_and_end(
    backend: Backend, tmp_path: Path
) -> None:
    def answer(status: int, attempt: int, piece: str | None = None) -> APIRequestCompleted:
        error = None if status == 200 else "no"
        return APIRequestCompleted("a", 0, status, 1.0, 1, attempt, False, error, None, piece=piece)

    async def story() -> None:
        times = iter(range(6, 100))
        with contextlib.closing(backend.open_metrics(tmp_path, lambda: 0.0)) as database:
            store = Measurements(database)
            collector = MetricsCollector(store, FACTS, pytest.fail, lambda: float(next(times)))
            for event in (
                ChunkProcessingStarted("a", 0, 60.0, 2.0),
                answer(429, 1),
                ChunkProcessingStarted("a", 0, 5.0, 3.0, "gap-1"),
                answer(500, 1, "gap-1"),
                answer(200, 2, "gap-1"),
                ChunkProcessingCompleted("a", 0, 5.0, True, "gap-1"),
                answer(200, 2),
                ChunkProcessingCompleted("a", 0, 60.0, True),
                JobCompleted("a", 60.0, False),
            ):
                collector(event)
            await collector.aclose(RunEnd(1, 0, 0, 0))
            window = Window(0.0, 100.0)
            requests = reversed(await store.last_requests(10))
            assert [(each.chunk, each.outcome, each.queue_wait_s) for each in requests] == [
                ("1#0", "429", 2.0),
                ("1#0.gap-1", "500", 3.0),
                ("1#0.gap-1", "ok", 0.0),
                ("1#0", "ok", 0.0),
            ]
            assert await store.totals(Metric.RETRIES, window) == {"429": 1.0, "500": 1.0}
            # The audio of a piece is its chunk's.
            assert await store.totals(Metric.SAVED_SECONDS, window) == {"": 60.0}

    asyncio.run(story())
