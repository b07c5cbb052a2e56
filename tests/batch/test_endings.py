"""How runs end when something goes wrong on the way: nothing paid is lost, each counts once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sttbatch.batch.report import BatchReport, Outcome
from sttbatch.core.models import Upload
from sttbatch.outputs.document import Document
from sttbatch.outputs.plans import OutputPlan
from sttbatch.outputs.writer import Written
from sttbatch.processing.discovery import discover
from tests.cloudru import make_recording

from .room import Ear, room


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    return folder


def record(folder: Path, count: int, **how: Any) -> None:
    for number in range(count):
        make_recording(
            folder / f"talk-{number}.wav",
            duration_s=11 - number / 4,
            sample_rate=8_000,
            channels=1,
            first_word=100 * number,
            **how,
        )


def outcomes(report: BatchReport) -> Counter[tuple[str, Outcome]]:
    return Counter((Path(each.shown).name, each.outcome) for each in report.recordings)


def test_a_bug_at_one_recordings_end_costs_no_other_its_answer(talks: Path, tmp_path: Path) -> None:
    """What is in flight is finished and stored before the bug ends the run."""
    record(talks, 2)
    both, broken = asyncio.Event(), asyncio.Event()

    class Broken:
        async def write(self, document: Document, plan: OutputPlan) -> Written:
            broken.set()
            raise ZeroDivisionError(document.source)

    async def second_waits(_: Upload) -> None:
        if len(ear.sent) == 1:
            await both.wait()
            return
        both.set()
        await broken.wait()
        # Whatever the bug would break off is broken off by then.
        for _turn in range(30):
            await asyncio.sleep(0)

    ear = Ear(second_waits)

    async def main() -> None:
        async with room(tmp_path, ear, writer=Broken()) as run:
            with pytest.raises(ZeroDivisionError):
                await run.batch.run(discover([talks]))

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(ear.sent) == 2
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        query = "SELECT count(*) FROM cache_entries WHERE key LIKE 'chunk:%'"
        assert ledger.execute(query).fetchone() == (2,)
