"""What the ledger tells about requests and stored spans before a run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from sttbatch.caching.result_cache import StoredChunk
from sttbatch.core.engine import APIRequest
from sttbatch.core.models import ChunkSpan, CutPoint, Transcription
from sttbatch.core.work import PROBE, IndexedSpan
from sttbatch.database.chunk_index import SqlChunkIndex
from tests.database.backends import Backend

from .harness import SHA, harness, key, recorded

NOW = time.time()
STORED = StoredChunk(Transcription("", ()), "mp3", "verbose_json")


def post(number: int, status: int | None = 200, error: str | None = None) -> APIRequest:
    return APIRequest(NOW + number, 1, status, float(number), 10, 60.0 + number, True, error=error)


def span_of(start_s: float, end_s: float) -> ChunkSpan:
    start, end = CutPoint(round(start_s * 1000)), CutPoint(round(end_s * 1000))
    return ChunkSpan(0, start, end, start_s, end_s, ((0.0, start_s),))


def test_the_latest_answers_of_this_engine_and_model(backend: Backend, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            for number in (2, 1, 3):
                await state.store(recorded(key(number), post(number), STORED))
            await state.work.record(recorded(key(4), post(4, 503, "busy")))
            await state.work.record(recorded(key(4), post(5, None, "broke off")))
            # `doctor --send` measures the way to the endpoint.
            await state.work.record(recorded(PROBE, post(8)))
            await state.store(recorded(key(6), post(6), STORED, model="another"))
            await state.store(recorded(key(7), post(7, None), STORED, engine="local"))
            latencies = state.work.latencies
            assert await latencies("cloudru", "whisper", 10) == [
                (63.0, 3.0),
                (62.0, 2.0),
                (61.0, 1.0),
            ]
            assert await latencies("cloudru", "whisper", 2) == [(63.0, 3.0), (62.0, 2.0)]
            assert await latencies("cloudru", "another", 10) == [(66.0, 6.0)]
            assert await latencies("local", "whisper", 10) == [(67.0, 7.0)]
            assert await latencies("cloudru", "new", 10) == []

    asyncio.run(story())


def test_how_much_of_a_recording_is_kept(backend: Backend, tmp_path: Path) -> None:
    """Each second counts once, and only where its answer is there."""

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            spans = SqlChunkIndex(state.database, state.ledger)
            cuts = [(0.0, 100.0), (50.0, 150.0), (60.0, 70.0), (200.0, 300.0), (400.0, 500.0)]
            for number, cut in enumerate(cuts):
                await spans.remember(IndexedSpan(SHA, 0, "request", span_of(*cut), key(number)))
                if number < 4:
                    await state.store(recorded(key(number), post(number), STORED))
            await spans.remember(IndexedSpan(SHA, 0, "other", span_of(0.0, 900.0), key(0)))
            many = [f"{number:064x}" for number in range(1200)]
            assert await spans.covered_s([*many, SHA], 0, "request") == {SHA: 250.0}
            assert await spans.covered_s([SHA], 1, "request") == {}

    asyncio.run(story())


def test_a_cut_that_is_damaged_is_not_kept(backend: Backend, tmp_path: Path) -> None:
    """Its neighbours are; what is cut there again finds its answer by its own key."""

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            spans = SqlChunkIndex(state.database, state.ledger)
            for number, cut in enumerate([(0.0, 100.0), (100.0, 200.0)]):
                await spans.remember(IndexedSpan(SHA, 0, "request", span_of(*cut), key(number)))
                await state.store(recorded(key(number), post(number), STORED))
            await state.database.write(
                lambda db: db.execute("UPDATE cuts SET anchors = '[[0.0' WHERE start_s = 0.0")
            )
            kept = await spans.results(SHA, 0, "request")
            assert [each.span.start_s for each in kept] == [100.0]

    asyncio.run(story())
