"""A run whose PostgreSQL goes away for good ends as soon as its lease does, and loses nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import load_settings
from sttbatch.core.events import Event, RunStopped
from sttbatch.database import postgresql_connections
from sttbatch.database.postgresql import PostgreSQLStore
from sttbatch.kinds.report import Outcome
from sttbatch.processing.discovery import discover
from tests.cloudru import CloudRu, make_recording
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.shell import Shell


@pytest.fixture
def folder(
    shell: Shell, postgresql_server: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A recording; this process has the shell's environment, and a ledger in PostgreSQL."""
    del postgresql_server
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STTBATCH_CACHE_DIR", str(shell.home / "cache"))
    monkeypatch.setenv("STTBATCH_DATABASE_URL", schema_url(tmp_path))
    talks = tmp_path / "talks"
    talks.mkdir()
    make_recording(talks / "talk.wav", duration_s=4.0)
    return talks


async def transcribe(folder: Path, *listeners: asyncio.Queue[Event]) -> BatchRun:
    settings = load_settings().settings
    put = [each.put_nowait for each in listeners]
    run = BatchRun(settings, load_key(settings), listeners=put)
    await run.transcribe(discover([folder]), run_config_of(settings, RunFlags()))
    return run


@pytest.mark.slow
def test_a_run_waits_no_longer_once_its_lease_is_over(
    folder: Path, cloudru: CloudRu, postgresql_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PostgreSQLStore.__init__.__kwdefaults__
    monkeypatch.setitem(PostgreSQLStore.__init__.__kwdefaults__, "patience_s", 3600.0)
    monkeypatch.setattr(postgresql_connections, "RETRY_S", 0.1)

    async def story() -> None:
        events = asyncio.Queue[Event]()
        cloudru.hold()
        running = asyncio.create_task(transcribe(folder, events))
        await asyncio.to_thread(cloudru.wait_for, lambda seen: len(seen.received) == 1)
        postgresql_server.stop("immediate")
        try:
            while not isinstance(stopped := await events.get(), RunStopped):
                pass
            assert "could not tell the ledger" in str(stopped.error)
            cloudru.resume()
            run = await running
            assert run.report.count(Outcome.DONE) == 0
        finally:
            postgresql_server.start()
        # It waits until the one that ended counts as dead.
        assert (await transcribe(folder)).report.count(Outcome.DONE) == 1

    asyncio.run(story())
    assert len(cloudru.received) == 1
