"""A worker in this process: what it survives, and what it keeps of what it did."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sttbatch.composition import long_lived
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.serving import WorkerProcess
from sttbatch.composition.settings import load_settings
from sttbatch.core.errors import StateError
from sttbatch.core.events import Event, JobCompleted, JobFailed, RunStopped, Warned
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.processing.discovery import discover
from tests.cloudru import CloudRu, Status, make_recording
from tests.kinds.transcription.harness import allow, refuse
from tests.queue.harness import Ledger
from tests.shell import Shell

PATIENCE_S = 60


@pytest.fixture
def folder(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings; this process has the shell's environment."""
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(shell.home / "cache"))
    monkeypatch.setattr(long_lived, "REOPEN_S", 0.05)
    folder = shell.home / "talks"
    folder.mkdir()
    for number in range(2):
        make_recording(folder / f"{number}.wav", duration_s=4.0, first_word=100 * number)
    return folder


class Listener:
    """Awaits events of a worker."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, kind: type[Event], count: int = 1) -> list[Event]:
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [e for e in self.events if isinstance(e, kind)]) < count:
                self._more.clear()
                await self._more.wait()
        return found


async def submit(folder: Path, flags: RunFlags | None = None, **options: object) -> BatchRun:
    settings = load_settings(options).settings
    run = BatchRun(settings)
    config = run_config_of(settings, flags or RunFlags())
    assert await run.submit(discover([folder]), config)
    return run


def with_worker(
    story: Callable[[Listener, asyncio.Task[None]], Awaitable[None]], **options: str
) -> None:
    """Run a story while a worker works; it is drained at the end."""

    async def run() -> None:
        settings, listener = load_settings(options).settings, Listener()
        worker = WorkerProcess(settings, load_key(settings), listeners=[listener])
        working = asyncio.create_task(worker.run())
        try:
            await story(listener, working)
        finally:
            worker.drain()
            await asyncio.gather(working, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.slow
def test_it_opens_a_ledger_again_that_could_not_be_used(folder: Path, shell: Shell) -> None:
    async def story(listener: Listener, _: asyncio.Task[None]) -> None:
        await submit(folder)
        warned = (await listener.until(Warned))[0]
        assert isinstance(warned, Warned)
        assert "waiting up to 600 s for the ledger" in warned.message
        allow(shell.home / "data")
        await listener.until(JobCompleted, 2)

    refuse(shell.home / "data", "INSERT ON processing_tasks")
    with_worker(story)
    ledger = Ledger(shell.home / "data")
    assert ledger.rows("SELECT count(done_at), count(error) FROM orders") == [(2, 0)]
    assert ledger.rows("SELECT count(*) FROM workers") == [(0,)]


def test_it_gives_up_a_ledger_after_the_outage_wait(folder: Path, shell: Shell) -> None:
    async def story(listener: Listener, working: asyncio.Task[None]) -> None:
        await submit(folder)
        with pytest.raises(StateError, match="disk I/O error"):
            await working

    refuse(shell.home / "data", "INSERT ON processing_tasks")
    with_worker(story, outage_wait="0.2s")


def kept_of_runs() -> int:
    gc.collect()
    kinds = {TranscriptionPipeline, RecordingJob}
    # A proxy of Celery would look for its settings if it were asked what it is.
    return sum(type(each) in kinds for each in gc.get_objects())


@pytest.mark.slow
def test_it_keeps_nothing_of_what_it_did(folder: Path, cloudru: CloudRu) -> None:
    async def story(listener: Listener, _: asyncio.Task[None]) -> None:
        await submit(folder)
        await listener.until(JobCompleted, 2)
        assert len(cloudru.received) == 2
        # Its jobs end a little later than its recordings.
        deadline = time.monotonic() + PATIENCE_S
        while kept_of_runs():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    with_worker(story)


def test_an_order_that_cannot_be_written_fails_alone(folder: Path, cloudru: CloudRu) -> None:
    async def story(listener: Listener, _: asyncio.Task[None]) -> None:
        (folder / "file").write_text("no folder")
        await submit(folder / "0.wav", output_dir=str(folder / "file" / "below"))
        await submit(folder / "0.wav", formats=["srt"])
        cloudru.resume()
        (failed,) = await listener.until(JobFailed)
        assert isinstance(failed, JobFailed)
        assert "cannot be written" in failed.reason
        await listener.until(JobCompleted)

    cloudru.hold()
    with_worker(story)
    assert (folder / "0.srt").is_file()
    assert len(cloudru.received) == 1
    ledger = Ledger(Path(load_settings().settings.data_dir or ""))
    (written,) = ledger.rows("SELECT written FROM orders WHERE error IS NULL")
    assert written == (os.fsencode(folder / "0.srt"),)
    assert ledger.rows("SELECT count(done_at) FROM orders") == [(2,)]


def test_a_forced_order_is_sent_again(folder: Path, cloudru: CloudRu) -> None:
    async def story(listener: Listener, _: asyncio.Task[None]) -> None:
        await submit(folder)
        await listener.until(JobCompleted, 2)
        await submit(folder / "0.wav", RunFlags(force=True))
        await listener.until(JobCompleted, 3)

    with_worker(story)
    assert len(cloudru.received) == 3


def test_a_model_that_the_endpoint_lacks_fails_its_jobs_alone(
    folder: Path, cloudru: CloudRu
) -> None:
    async def story(listener: Listener, working: asyncio.Task[None]) -> None:
        await submit(folder / "1.wav")
        await listener.until(JobCompleted)
        # That another model was served says nothing of this one.
        await submit(folder / "0.wav", model="no-such-model")
        await listener.until(RunStopped)
        assert not working.done()

    cloudru.faults = lambda post: Status(404) if post.model == "no-such-model" else None
    with_worker(story)
    ledger = Ledger(Path(load_settings().settings.data_dir or ""))
    ((error,),) = ledger.rows("SELECT error FROM orders WHERE error IS NOT NULL")
    assert "does not serve the model no-such-model" in str(error)


def test_an_order_that_nobody_can_fulfil_any_more_fails(
    folder: Path, shell: Shell, cloudru: CloudRu
) -> None:
    """Its job was completed, but what was stored is gone, and the endpoint refuses the model."""

    async def story(listener: Listener, _: asyncio.Task[None]) -> None:
        await listener.until(RunStopped)
        deadline = time.monotonic() + PATIENCE_S
        while ledger.rows("SELECT count(*) FROM orders WHERE error IS NULL") != [(0,)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    async def first(listener: Listener, _: asyncio.Task[None]) -> None:
        await submit(folder / "0.wav")
        await listener.until(JobCompleted)

    with_worker(first)
    ledger = Ledger(shell.home / "data")
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db, db:
        db.execute("UPDATE orders SET done_at = NULL, written = NULL")
        db.execute("UPDATE processing_jobs SET route = (SELECT route FROM orders)")
    shell.extra = {"STTBATCH_CACHE_DIR": os.environ["STTBATCH_CACHE_DIR"]}
    assert shell.run("cache", "invalidate", "--all", "--yes").code == 0
    cloudru.faults = lambda _: Status(404)
    with_worker(story)
    assert len(cloudru.received) == 2
