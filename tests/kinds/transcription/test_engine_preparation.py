"""An engine is told that it will be asked while the first chunk is being cut, and only then."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sttbatch.core.events import ChunkPrepared, Event
from sttbatch.processing.discovery import discover
from tests.cloudru import make_recording

from .harness import FakeEngine, Harness, opened


def test_an_engine_is_prepared_before_the_first_chunk_is_cut(tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    make_recording(talk, duration_s=6, sample_rate=8_000, channels=1)
    engine, prepared = FakeEngine(), []

    def watch(_: Harness, event: Event) -> None:
        if isinstance(event, ChunkPrepared):
            prepared.append(engine.is_prepared)

    async def run() -> None:
        async with opened(tmp_path, engine) as harness:
            await harness.pipeline.forecast(discover([talk]))
        assert not engine.is_prepared, "a forecast asks nothing"
        async with opened(tmp_path, engine, listener=watch) as harness:
            await harness.transcribe(talk)
        engine.is_prepared = False
        talk.with_suffix(".json").unlink()
        async with opened(tmp_path, engine) as harness:
            await harness.transcribe(talk)
        assert not engine.is_prepared, "a stored transcript is written without it"

    asyncio.run(run())
    assert prepared == [True]
