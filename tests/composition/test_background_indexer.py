"""Transcripts that wait to be indexed take a bounded amount of memory."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from sttbatch.composition.background_indexer import WAITING_CHARACTERS, BackgroundIndexer
from sttbatch.composition.settings import Settings
from sttbatch.core.models import Segment, Transcript
from sttbatch.database.opening import open_ledger


def waiting_of(folder: Path, text: str, times: int) -> int:
    """How many of so many transcripts wait, of one second each."""
    transcript = Transcript(1.0, "en", (Segment(text, 0.0, 1.0),), ())

    async def main() -> int:
        with contextlib.closing(open_ledger(folder)) as database:
            indexer = BackgroundIndexer(Settings(data_dir=str(folder)), database, print)
            for number in range(times):
                indexer.add(f"transcript:{number}", transcript)
            found = len(indexer._waiting)
            await indexer.aclose()
            return found

    return asyncio.run(main())


def test_many_short_ones_may_wait(tmp_path: Path) -> None:
    assert waiting_of(tmp_path, "word", 200) == 200


def test_a_second_with_a_book_in_it_waits_alone(tmp_path: Path) -> None:
    assert waiting_of(tmp_path, "w" * WAITING_CHARACTERS, 20) == 1
