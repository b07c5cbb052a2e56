"""A watch in this process: what it waits for, and what it tries again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from sttbatch.composition import long_lived, watch_process
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import run_config_of
from sttbatch.composition.settings import load_settings
from sttbatch.composition.watch_process import Watched, WatchProcess
from sttbatch.core.events import Event, JobCompleted, JobFailed, JobSkipped, RunStopped, Warned
from sttbatch.core.jobs import JobPriority
from sttbatch.kinds.report import BatchReport
from sttbatch.processing import arrivals
from sttbatch.processing.discovery import Discovery, discover
from tests.cloudru import CloudRu, Status, always, make_recording
from tests.kinds.transcription.harness import allow, refuse
from tests.shell import Shell

PATIENCE_S = 60
PAUSE_S = 0.05


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One recording; this process has the shell's environment."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(shell.home / "cache"))
    monkeypatch.setattr(long_lived, "REOPEN_S", PAUSE_S)
    for module in (arrivals, watch_process):
        monkeypatch.setattr(module, "RETRY_S", PAUSE_S)
        monkeypatch.setattr(module, "LONGEST_RETRY_S", PAUSE_S)
    folder = shell.home / "talks"
    folder.mkdir()
    make_recording(folder / "0.wav", duration_s=4.0)
    return folder


class Watch:
    """A running watch and what it tells."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports: list[BatchReport] = []
        self._begun = self._looks = 0
        self._begun_at_report = 0
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def look(self, folder: Path) -> Discovery:
        self._begun += 1
        # What is not there now may be there in the next look.
        found = discover((), listed=[folder], may_be_empty=True)
        self._looks += 1
        self._loop.call_soon_threadsafe(self._more.set)
        return found

    def take(self, report: BatchReport, _: float) -> None:
        self.reports.append(report)
        self._begun_at_report = self._begun
        self._more.set()

    async def until_idle(self, batches: int) -> None:
        """Until the look that follows a batch."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.reports) < batches or self._looks <= self._begun_at_report:
                self._more.clear()
                await self._more.wait()

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, kind: type[Event], count: int = 1) -> list[Event]:
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.of(kind)) < count:
                self._more.clear()
                await self._more.wait()
        return found


def with_watch(folder: Path, story: Callable[[Watch], Awaitable[None]], **options: str) -> None:
    """Run a story while a folder is watched."""

    async def run() -> None:
        settings, watch = load_settings(options).settings, Watch()
        process = WatchProcess(
            settings,
            load_key(settings),
            Watched([folder], partial(watch.look, folder), 0.0, 2 * PATIENCE_S),
            run_config_of(settings),
            JobPriority.MEDIUM,
            watch.take,
            listeners=[watch.hear],
        )
        running = asyncio.create_task(process.run())
        try:
            await story(watch)
        finally:
            process.drain()
            await asyncio.gather(running, return_exceptions=True)
        await running

    asyncio.run(run())


def test_an_outage_is_waited_for_however_long_it_takes(folder: Path, cloudru: CloudRu) -> None:
    async def story(watch: Watch) -> None:
        await watch.until(RunStopped, 2)
        told = [each.message for each in watch.of(Warned) if isinstance(each, Warned)]
        assert sum("watching continues when that is over" in each for each in told) == 1
        cloudru.come_back()
        await watch.until(JobCompleted)

    cloudru.go_away()
    with_watch(folder, story, outage_wait="0.2s")
    assert sum(post.status == 200 for post in cloudru.received) == 1


def test_a_budget_that_is_used_up_is_waited_for(folder: Path, cloudru: CloudRu) -> None:
    async def story(watch: Watch) -> None:
        await watch.until(JobSkipped, 2)
        (told,) = watch.of(Warned)
        assert isinstance(told, Warned)
        assert "budget_per_day" in told.message

    with_watch(folder, story, budget_per_day="1", price_per_second="1")
    assert not cloudru.received


def test_a_failed_recording_is_tried_again_until_it_is_a_dead_letter(
    folder: Path, cloudru: CloudRu
) -> None:
    async def story(watch: Watch) -> None:
        await watch.until(JobFailed, 2)
        cloudru.faults = lambda _: None
        make_recording(folder / "1.wav", duration_s=4.0, first_word=100)
        await watch.until(JobCompleted)
        assert len(watch.of(JobFailed)) == 2

    cloudru.faults = always(Status(400, body={"detail": "no"}))
    with_watch(folder, story, job_retries="2")


def test_it_opens_a_ledger_again_that_could_not_be_used(
    folder: Path, shell: Shell, cloudru: CloudRu
) -> None:
    async def story(watch: Watch) -> None:
        await watch.until(Warned)
        allow(shell.home / "data")
        await watch.until(JobCompleted)

    refuse(shell.home / "data", "INSERT ON processing_tasks")
    with_watch(folder, story)
    assert len(cloudru.received) == 1


def test_a_folder_that_is_gone_and_comes_again_is_followed(folder: Path) -> None:
    async def story(watch: Watch) -> None:
        await watch.until_idle(1)
        await asyncio.to_thread(folder.rename, folder.with_name("gone"))
        # So that somebody notices: the system tells of what is in the folder alone.
        make_recording(folder.with_name("gone") / "0.wav", duration_s=5.0)
        await watch.until_idle(2)
        await asyncio.to_thread(folder.mkdir)
        make_recording(folder / "1.wav", duration_s=4.0, first_word=100)
        await watch.until(JobCompleted, 2)
        await watch.until_idle(3)
        make_recording(folder / "2.wav", duration_s=4.0, first_word=200)
        await watch.until(JobCompleted, 3)

    with_watch(folder, story)
