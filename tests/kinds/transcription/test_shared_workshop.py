"""Several runs at once in one process: they share its lanes, and each ends by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.composition.workshop import transcription_run
from sttbatch.core.errors import ChunkError, StateError
from sttbatch.core.models import Upload
from sttbatch.kinds.report import BatchReport, Outcome
from sttbatch.processing.discovery import discover
from tests.cloudru import make_recording

from .harness import CONFIG, FakeEngine, Harness, allow, opened, refuse

LANES = CONFIG.concurrency.value


def record(folder: Path, first_word: int) -> None:
    folder.mkdir()
    for number in range(3):
        path = folder / f"{number}.wav"
        make_recording(path, duration_s=4, first_word=first_word + 100 * number)


async def in_two_runs(
    harness: Harness, one: Path, other: Path, stop_first: asyncio.Event | None = None
) -> tuple[BatchReport, BatchReport]:
    """Two folders at the same time; the first run ends early once it is told to."""
    reports = BatchReport(), BatchReport()
    runs = [transcription_run(harness.workshop, CONFIG, report) for report in reports]

    async def stop() -> None:
        assert stop_first is not None
        await stop_first.wait()
        runs[0].control.stop()

    stopping = asyncio.create_task(stop()) if stop_first is not None else None
    await asyncio.gather(runs[0].run(discover([one])), runs[1].run(discover([other])))
    assert stopping is None or stopping.done()
    return reports


def test_they_share_the_lanes(tmp_path: Path) -> None:
    in_flight: set[int] = set()
    most = 0

    async def count(upload: Upload) -> None:
        nonlocal most
        in_flight.add(id(upload))
        most = max(most, len(in_flight))
        # Whoever may be in a lane beside it is there once all that is ready has run.
        for _ in range(20):
            await asyncio.sleep(0)
        in_flight.discard(id(upload))

    async def story() -> None:
        record(tmp_path / "one", 0)
        record(tmp_path / "other", 300)
        async with opened(tmp_path, FakeEngine(count)) as harness:
            reports = await in_two_runs(harness, tmp_path / "one", tmp_path / "other")
        assert [report.count(Outcome.DONE) for report in reports] == [3, 3]

    asyncio.run(story())
    assert 1 <= most <= LANES


@pytest.mark.slow
def test_the_end_of_one_is_not_that_of_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        record(tmp_path / "one", 0)
        record(tmp_path / "other", 300)
        stop_first = asyncio.Event()

        async def begin_and_stop(_: Upload) -> None:
            stop_first.set()
            await asyncio.sleep(0)

        async with opened(tmp_path, FakeEngine(begin_and_stop)) as harness:
            ended, other = await in_two_runs(
                harness, tmp_path / "one", tmp_path / "other", stop_first
            )
            assert other.count(Outcome.DONE) == 3
            assert ended.count(Outcome.LEFT) > 0
            assert harness.workshop.lanes.in_use == 0
            # What was left is done by a third run in the same workshop.
            again = BatchReport()
            await transcription_run(harness.workshop, CONFIG, again).run(
                discover([tmp_path / "one"])
            )
            assert again.count(Outcome.DONE) == 3

    asyncio.run(story())


def test_an_answer_that_the_ledger_refused_is_booked_while_the_workshop_lives_on(
    tmp_path: Path,
) -> None:
    asked = 0

    async def count(_: Upload) -> None:
        nonlocal asked
        asked += 1

    async def story() -> None:
        folder = tmp_path / "one"
        record(folder, 0)
        async with opened(tmp_path, FakeEngine(count)) as harness:
            refuse(tmp_path, "INSERT ON requests")
            report = await harness.transcribe(folder)
            assert isinstance(report.fatal, StateError)
            allow(tmp_path)
            before, workshop = asked, harness.workshop
            assert before > 0
            await workshop.spool.recover_into(workshop.claims.ledger)
            again = BatchReport()
            await transcription_run(workshop, CONFIG, again).run(discover([folder]))
            assert again.count(Outcome.DONE) == 3
            assert asked == 3, "what was answered is not asked for again"
            # The room of what was booked is free for the next answers.
            refuse(tmp_path, "INSERT ON requests")
            record(tmp_path / "other", 500)
            third = BatchReport()
            await transcription_run(workshop, CONFIG, third).run(discover([tmp_path / "other"]))
            assert "is kept in" in str(third.fatal)

    asyncio.run(story())


@pytest.mark.slow
def test_a_claim_whose_end_the_ledger_refused_ends_while_the_workshop_lives_on(
    tmp_path: Path,
) -> None:
    refused = False

    async def fail_once(_: Upload) -> None:
        nonlocal refused
        if not refused:
            refused = True
            raise ChunkError("no words")

    async def story() -> None:
        folder = tmp_path / "one"
        record(folder, 0)
        async with opened(tmp_path, FakeEngine(fail_once)) as harness:
            refuse(tmp_path, "UPDATE ON chunk_tasks", "NEW.status = 'FAILED'")
            assert isinstance((await harness.transcribe(folder)).fatal, StateError)
            allow(tmp_path)
            await harness.workshop.workers.end_pending_claims()
            again = BatchReport()
            await transcription_run(harness.workshop, CONFIG, again).run(discover([folder]))
            assert again.count(Outcome.DONE) == 3

    asyncio.run(story())


@pytest.mark.parametrize("end", [asyncio.CancelledError, ZeroDivisionError])
def test_a_run_that_is_cancelled_or_has_a_bug_frees_its_recordings(
    tmp_path: Path, end: type[BaseException]
) -> None:
    async def story() -> None:
        folder = tmp_path / "one"
        record(folder, 0)
        begun, ended = asyncio.Event(), False

        async def never(_: Upload) -> None:
            if ended:
                return
            begun.set()
            if end is ZeroDivisionError:
                raise ZeroDivisionError
            await asyncio.Event().wait()

        async with opened(tmp_path, FakeEngine(never)) as harness:
            running = asyncio.create_task(harness.transcribe(folder))
            await begun.wait()
            if end is asyncio.CancelledError:
                running.cancel()
            with pytest.raises(end):
                await running
            assert len(harness.report.recordings) == 3, "each has its end"
            ended, again = True, BatchReport()
            await transcription_run(harness.workshop, CONFIG, again).run(discover([folder]))
            assert again.count(Outcome.DONE) == 3

    asyncio.run(story())
