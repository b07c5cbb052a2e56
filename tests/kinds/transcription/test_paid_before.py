"""What is paid for is found wherever it is, whatever cannot be done any more."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.core.errors import StateError
from sttbatch.core.events import CacheLookup
from sttbatch.kinds.report import Outcome
from tests.cloudru import make_recording

from .harness import FakeEngine, opened


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording whose words are in the ledger alone, without its transcript and its cuts."""
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=6, sample_rate=8_000, channels=1)

    async def pay() -> None:
        async with opened(tmp_path, FakeEngine()) as run:
            await run.transcribe(path)

    asyncio.run(pay())
    with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("DELETE FROM cache_entries WHERE key LIKE 'transcript:%'")
        db.execute("DELETE FROM cuts")
        db.commit()
    shutil.rmtree(tmp_path / "cache")
    path.with_suffix(".json").unlink()
    return path


def levels_of(folder: Path, talk: Path) -> list[str | None]:
    """The levels that had the chunk in another run, which sends nothing."""

    async def again() -> list[str | None]:
        engine = FakeEngine()
        async with opened(folder, engine) as run:
            report = await run.transcribe(talk)
        assert engine.sent == []
        assert [each.outcome for each in report.recordings] == [Outcome.DONE]
        looked_up = [each for each in run.events if isinstance(each, CacheLookup)]
        return [each.level for each in looked_up if each.key.startswith("chunk:")]

    return asyncio.run(again())


def test_a_chunk_that_only_the_ledger_has_is_looked_up_once_and_not_sent(
    tmp_path: Path, talk: Path
) -> None:
    assert levels_of(tmp_path, talk) == ["L3"]


def test_a_chunk_that_is_stored_needs_no_disk_space_for_an_answer(
    tmp_path: Path, talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: ResponseSpool) -> None:
        raise StateError("disk space cannot be reserved for answers")

    monkeypatch.setattr(ResponseSpool, "reserve", full)
    assert levels_of(tmp_path, talk) == ["L3"]
