"""UsageStore, over every database."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from sttbatch.core.jobs import Claim, JobSpec
from sttbatch.core.metrics import RecordingOutcome, Window
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.usage_queries import UsageFigures
from sttbatch.database.workers import LedgerWorkers
from tests.database.backends import Backend

NOW = 1_700_000_000.0
EVER = Window(0.0, NOW + 1)


def test_jobs_of_every_kind_have_an_outcome(backend: Backend, tmp_path: Path) -> None:
    specs = (
        JobSpec("transcription", 1, {"recording": "a.mp3", "audio_s": 60.0}),
        JobSpec("summary", 2, {"unit": "tokens", "quantity": 900}),
    )

    async def story() -> None:
        with contextlib.closing(backend.open_ledger(tmp_path, lambda: NOW)) as database:
            jobs, usage = LedgerJobs(database), UsageFigures(database)
            worker = await LedgerWorkers(database).register("w", "here", 1)
            for number, spec in enumerate(specs):
                job = await jobs.enqueue(f"{number}" * 64, 0, "request", spec)
                claim = await jobs.claim(job.id, worker)
                assert isinstance(claim, Claim)
                await jobs.fail(claim, "no")
            assert sorted(await usage.failed(EVER, 5), key=lambda each: each.name) == [
                RecordingOutcome("", 0.0, 0.0, "no", NOW, "summary", 900),
                RecordingOutcome("a.mp3", 60.0, 0.0, "no", NOW),
            ]
            states = await usage.jobs_by_state()
            assert (states["FAILED"], await usage.dead_letters()) == (2, 0)

    asyncio.run(story())
