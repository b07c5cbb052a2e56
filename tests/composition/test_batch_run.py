"""A run in this process: what it leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

import pytest

from sttbatch.composition import batch_run
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings, load_settings
from sttbatch.composition.stores import opened_ledger
from sttbatch.database.database import Database
from sttbatch.processing.discovery import discover
from tests.shell import Shell


def ledger_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("database ")}


def test_a_ledger_that_opens_after_the_run_was_cancelled_is_closed(
    new_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in new_shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    opening, cancelled = threading.Event(), threading.Event()
    opened = list[set[threading.Thread]]()
    before = ledger_threads()

    def late(settings: Settings) -> contextlib.closing[Database]:
        opening.set()
        cancelled.wait()
        ledger = opened_ledger(settings)
        opened.append(ledger_threads() - before)
        return ledger

    monkeypatch.setattr(batch_run, "opened_ledger", late)

    async def story() -> None:
        settings = load_settings().settings
        run = BatchRun(settings)
        running = asyncio.create_task(
            run.transcribe(discover([tmp_path]), run_config_of(settings, RunFlags()))
        )
        await asyncio.to_thread(opening.wait)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        cancelled.set()

    asyncio.run(story())
    assert [len(threads) for threads in opened] == [1]
    assert ledger_threads() <= before
