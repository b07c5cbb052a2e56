"""A lane waits for the endpoint alone: while an answer is stored, the next request is in it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from msgspec.structs import replace

from sttbatch.core.models import ConcurrencyLimit, Upload
from sttbatch.processing.scheduling.orchestrator import CHUNKS_AHEAD
from tests.cloudru import make_recording

from .harness import CONFIG, FakeEngine, Harness, opened

RECORDINGS = 6


def test_requests_go_on_while_answers_are_stored_as_far_as_there_is_disk_space(
    tmp_path: Path,
) -> None:
    talks = tmp_path / "talks"
    talks.mkdir()
    for number in range(RECORDINGS):
        path = talks / f"{number}.wav"
        make_recording(path, duration_s=4, sample_rate=8_000, channels=1, first_word=50 * number)
    held, all_sent = threading.Event(), asyncio.Event()
    run: Harness

    async def hold_the_ledger(_: Upload) -> None:
        if len(engine.sent) == 1:
            # The others that may exist are claimed, and wait for the only lane.
            while len(run.workshop.lanes._waiters) < CHUNKS_AHEAD:  # noqa: ASYNC110
                await asyncio.sleep(0)
            holding.append(asyncio.ensure_future(run.workshop.database.read(lambda _: held.wait())))
        if len(engine.sent) == 1 + CHUNKS_AHEAD:
            all_sent.set()

    engine = FakeEngine(hold_the_ledger)
    holding: list[asyncio.Future[bool]] = []
    config = replace(CONFIG, concurrency=ConcurrencyLimit(1))

    async def main() -> int:
        nonlocal run
        async with opened(tmp_path, engine, config=config) as run:
            transcribing = asyncio.ensure_future(run.transcribe(talks))
            await all_sent.wait()
            sent = len(engine.sent)
            held.set()
            await transcribing
            return sent

    assert asyncio.run(main()) == 1 + CHUNKS_AHEAD
    assert len(engine.sent) == RECORDINGS
