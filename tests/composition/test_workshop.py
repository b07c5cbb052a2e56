"""A process that lives for months: what it opens once serves many runs, and is looked after."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sttbatch.caching.response_spool import ResponseSpool, SpooledResponse
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import load_settings
from sttbatch.composition.stores import ANSWERS, data_folder
from sttbatch.composition.workshop import Workshop, keep_up, open_workshop, transcription_run
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.engine import APIRequest
from sttbatch.core.events import Event
from sttbatch.core.jobs import JobStatus
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.processing.discovery import discover
from sttbatch.processing.media.media_workers import MediaWorkers
from tests.cloudru import CloudRu, make_recording
from tests.queue.harness import CompetingProcess, Ledger, spec
from tests.shell import Shell

RECORDING_S = 4.0


@pytest.fixture
def folders(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two folders of two recordings; this process has the shell's environment."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(shell.home / "cache"))
    monkeypatch.setenv("STTBATCH_CONCURRENCY", "2")
    for number in range(4):
        path = shell.home / f"talks-{number // 2}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        make_recording(path, duration_s=RECORDING_S, first_word=100 * number)
    return [shell.home / f"talks-{number}" for number in range(2)]


@contextlib.asynccontextmanager
async def opened(events: list[Event]) -> AsyncIterator[Workshop]:
    settings = load_settings().settings
    folder = data_folder(settings)
    spool = folder / "spool"
    with contextlib.closing(open_ledger(folder)) as database:
        spool.mkdir()
        async with (
            MediaWorkers(spool) as media,
            open_workshop(
                settings, folder, database, media, load_key(settings), events.append
            ) as workshop,
        ):
            yield workshop


async def run(workshop: Workshop, folder: Path) -> BatchReport:
    report = BatchReport()
    config = run_config_of(load_settings().settings)
    await transcription_run(workshop, config, report).run(discover([folder]))
    return report


def test_its_runs_share_its_lanes_at_once_and_after_one_another(
    folders: list[Path], cloudru: CloudRu
) -> None:
    async def story() -> None:
        async with opened([]) as workshop:
            reports = await asyncio.gather(*(run(workshop, each) for each in folders))
            assert [each.count(Outcome.DONE) for each in reports] == [2, 2]
            for each in folders:
                for output in each.glob("*.txt"):
                    output.unlink()
            again = await run(workshop, folders[0])
            assert [each.cached for each in again.recordings] == [True, True]

    asyncio.run(story())
    assert len(cloudru.received) == 4
    assert cloudru.max_in_flight <= 2


def test_each_minute_it_books_what_others_left_and_frees_what_they_held(
    folders: list[Path], tmp_path: Path
) -> None:
    events: list[Event] = []

    async def story() -> None:
        async with opened(events) as workshop:
            folder = data_folder(load_settings().settings)
            jobs = LedgerJobs(workshop.database)
            job = await jobs.enqueue("f" * 64, 0, "request", spec("a.mp3"))
            killed = await asyncio.to_thread(
                CompetingProcess, "hold", Ledger(folder), job.id, "chunk:1"
            )
            assert await asyncio.to_thread(killed.line) == "held"
            killed.kill()
            request = APIRequest(1.5, 1, 200, 0.5, 1000, 12.5, paid=True)
            left = ResponseSpool(folder / ANSWERS, 1)
            left.reserve()
            left.write(
                SpooledResponse("chunk:2", b"{}", request, 0.5, "f" * 64, "cloudru", "m", "")
            )
            await left.aclose()
            levels = workshop.caches.levels
            value = CacheValue(b"{}", expires_at=1.0)
            await levels.authority.put("chunk:3", value, "m", "")
            await keep_up(workshop, events.append)
            assert (await jobs.jobs([job.id]))[job.id].status is JobStatus.QUEUED
            assert await levels.get("chunk:2") is not None
            assert (await levels.authority.usage()).entries == 1

    asyncio.run(story())
    assert events == []
