"""How runs end when something goes wrong on the way: nothing paid is lost, each counts once."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import StateError
from sttbatch.core.events import CacheLookup, Event, JobCompleted, Warned
from sttbatch.core.models import Transcript, Upload
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.outputs.document import Document
from sttbatch.processing.scheduling.orchestrator import COMPLETIONS_AT_ONCE
from tests.cloudru import make_recording

from .harness import CONFIG, FakeEngine, Harness, opened, refuse


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    return folder


def record(folder: Path, count: int, **how: Any) -> None:
    for number in range(count):
        make_recording(
            folder / f"talk-{number}.wav",
            duration_s=6 - number / 4,
            sample_rate=8_000,
            channels=1,
            first_word=100 * number,
            **how,
        )


def outcomes(report: BatchReport) -> Counter[tuple[str, Outcome]]:
    return Counter((Path(each.display_path).name, each.outcome) for each in report.recordings)


def test_a_bug_at_one_recordings_end_costs_no_other_its_answer(talks: Path, tmp_path: Path) -> None:
    """What is in flight is finished and stored before the bug ends the run."""
    record(talks, 2)
    both, broken = asyncio.Event(), asyncio.Event()

    async def observe(document: Document) -> None:
        broken.set()
        raise ZeroDivisionError(document.source)

    async def second_waits(_: Upload) -> None:
        if len(engine.sent) == 1:
            await both.wait()
            return
        both.set()
        await broken.wait()
        # Whatever the bug would break off is broken off by then.
        for _turn in range(30):
            await asyncio.sleep(0)

    engine = FakeEngine(second_waits)

    async def main() -> None:
        async with opened(tmp_path, engine, observe=observe) as run:
            with pytest.raises(ZeroDivisionError):
                await run.transcribe(talks)

    asyncio.run(asyncio.wait_for(main(), 60))
    assert len(engine.sent) == 2
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        query = "SELECT count(*) FROM cache_entries WHERE key LIKE 'chunk:%'"
        assert ledger.execute(query).fetchone() == (2,)


def test_a_copy_that_cannot_be_recorded_counts_once_and_so_does_the_other(
    talks: Path, tmp_path: Path
) -> None:
    record(talks, 1)
    (talks / "talk-1.wav").write_bytes((talks / "talk-0.wav").read_bytes())

    async def main() -> BatchReport:
        async with opened(tmp_path, FakeEngine()) as run:
            second = "(SELECT count(*) FROM outputs WHERE audio_s > 0) = 1"
            refuse(tmp_path, "UPDATE OF made_from ON outputs", second)
            return await run.transcribe(talks)

    report = asyncio.run(main())
    assert isinstance(report.fatal, StateError)
    assert {Path(each.display_path).name for each in report.recordings} == {
        "talk-0.wav",
        "talk-1.wav",
    }
    assert [each.outcome for each in report.recordings] == [Outcome.DONE, Outcome.FAILED]


def run_for(
    folder: Path, talks: Path, formats: tuple[str, ...], listener: Callable[[Harness, Event], None]
) -> BatchReport:
    """One run that writes these formats, and is told of each event."""

    async def main() -> BatchReport:
        config = replace(CONFIG, outputs=OutputOptions(formats=formats))
        async with opened(folder, FakeEngine(), config=config, listener=listener) as run:
            return await run.transcribe(talks)

    return asyncio.run(main())


def nothing(_run: Harness, _event: Event) -> None:
    """Listens to nothing."""


def test_a_ledger_that_fails_while_stored_transcripts_are_written_still_gives_a_report(
    talks: Path, tmp_path: Path
) -> None:
    record(talks, 2)
    run_for(tmp_path, talks, ("json",), nothing)
    refuse(tmp_path, "INSERT ON outputs")
    report = run_for(tmp_path, talks, ("txt",), nothing)
    assert isinstance(report.fatal, StateError)
    assert outcomes(report) == {
        ("talk-0.wav", Outcome.LEFT): 1,
        ("talk-1.wav", Outcome.LEFT): 1,
    }


def test_a_signal_ends_the_writing_of_stored_transcripts(talks: Path, tmp_path: Path) -> None:
    record(talks, 3)
    run_for(tmp_path, talks, ("json",), nothing)

    def stop(run: Harness, event: Event) -> None:
        if isinstance(event, JobCompleted):
            run.pipeline.control.stop()

    report = run_for(tmp_path, talks, ("txt",), stop)
    assert [each.outcome for each in report.recordings] == [
        Outcome.DONE,
        Outcome.LEFT,
        Outcome.LEFT,
    ]
    assert len(list(talks.glob("*.txt"))) == 1


def test_what_a_signal_kept_from_being_looked_at_is_left(talks: Path, tmp_path: Path) -> None:
    record(talks, 8)
    (talks / "notes").write_text("no recording")

    def stop(run: Harness, event: Event) -> None:
        if isinstance(event, CacheLookup):
            run.pipeline.control.stop()

    report = run_for(tmp_path, talks, ("json",), stop)
    assert outcomes(report) == {(f"talk-{number}.wav", Outcome.LEFT): 1 for number in range(8)}


def transcripts() -> int:
    """How many there are in this process."""
    # A proxy of Celery would look for its settings if it were asked what it is.
    return sum(type(each) is Transcript for each in gc.get_objects())


@pytest.mark.slow
def test_words_are_released_once_they_are_written(talks: Path, tmp_path: Path) -> None:
    """A run has more recordings than memory, made in it or before."""
    record(talks, 3 * COMPLETIONS_AT_ONCE)
    held: list[int] = []
    gc.collect()
    # Other tests' examples stay.
    before = transcripts()

    def count(_: Harness, event: Event) -> None:
        if isinstance(event, JobCompleted):
            held.append(transcripts() - before)

    run_for(tmp_path, talks, ("json",), count)
    assert len(held) == 3 * COMPLETIONS_AT_ONCE
    assert max(held) < 2 * COMPLETIONS_AT_ONCE
    held.clear()
    run_for(tmp_path, talks, ("txt",), count)
    assert len(held) == 3 * COMPLETIONS_AT_ONCE
    assert max(held) < 2 * COMPLETIONS_AT_ONCE


@pytest.mark.parametrize(("seconds", "kept", "told"), [(20.0, 0.6, 1), (0.5, 0.92, 0)])
def test_a_header_that_declares_more_than_is_there_is_told_of(
    talks: Path, tmp_path: Path, seconds: float, kept: float, told: int
) -> None:
    """But not where both would be shown as the same."""
    path = talks / "talk.mp3"
    make_recording(
        path, duration_s=seconds, sample_rate=16_000, channels=1, lead_silence_s=0.0, noise=0.1
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: round(kept * len(whole))])

    async def main() -> list[Event]:
        async with opened(tmp_path, FakeEngine()) as run:
            await run.transcribe(talks)
            return run.events

    warned = [each for each in asyncio.run(main()) if isinstance(each, Warned)]
    assert [each.message.startswith("its header declares") for each in warned] == [True] * told


def test_a_length_that_is_an_estimate_is_called_so(talks: Path, tmp_path: Path) -> None:
    """Raw AAC has no header: of two recordings in one file the bit rate of the first is known."""
    path, other = talks / "talk.aac", tmp_path / "other.aac"
    make_recording(path, duration_s=4.0, sample_rate=44_100, channels=2, bit_rate=96_000)
    make_recording(other, duration_s=4.0, sample_rate=16_000, channels=1, bit_rate=24_000)
    path.write_bytes(path.read_bytes() + other.read_bytes())

    async def main() -> list[Event]:
        async with opened(tmp_path, FakeEngine()) as run:
            await run.transcribe(talks)
            return run.events

    (warned,) = [each for each in asyncio.run(main()) if isinstance(each, Warned)]
    assert warned.message.startswith("its length was estimated as ")
