"""The queue may change while a run is under way: priorities, and jobs that are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import ChunkRefused, MediaError
from sttbatch.core.events import JobRetryScheduled, JobStarted
from sttbatch.core.file_records import FileRecord
from sttbatch.core.jobs import TRANSCRIPTION, Claim, Job, JobPriority, JobSpec, JobStatus
from sttbatch.core.models import ConcurrencyLimit, Upload
from sttbatch.core.options import RunOptions
from sttbatch.kinds.report import Outcome
from sttbatch.kinds.transcription.job_claims import QUEUE_HEAD
from sttbatch.kinds.transcription.recording_job import TRANSITIONS, RecordingJob, RunState
from sttbatch.processing.discovery import Candidate
from tests.cloudru import make_recording

from .harness import CONFIG, FakeEngine, Harness, opened

RECORDINGS = 8
"""More than one lane and one cutter have begun while the first is sent."""


NOT_WAITING = pytest.mark.parametrize(
    "no_wait", [False, pytest.param(True, marks=pytest.mark.slow)]
)


def record(folder: Path) -> None:
    """talk-0 is the longest."""
    folder.mkdir()
    for number in range(RECORDINGS):
        make_recording(
            folder / f"talk-{number}.wav",
            duration_s=6 - number / 4,
            sample_rate=8_000,
            channels=1,
            first_word=100 * number,
        )


def run_and_change(
    folder: Path, change: Callable[[Harness, dict[str, Job]], Awaitable[object]], **options: bool
) -> tuple[Harness, dict[str, JobStatus], FakeEngine]:
    """One run; the queue is changed while its first chunk is under way. Statuses by name."""

    async def change_once(_: Upload) -> None:
        if len(engine.sent) == 1:
            rows = await run.queue.jobs.list(JobStatus.QUEUED)
            await change(run, {Path(row.spec.title).stem: row for row in rows})

    engine = FakeEngine(change_once)
    config = replace(CONFIG, concurrency=ConcurrencyLimit(1), run=RunOptions(**options))
    record(folder / "talks")
    run: Harness

    async def main() -> tuple[Harness, dict[str, JobStatus], FakeEngine]:
        nonlocal run
        async with opened(folder, engine, config=config, cutters=1) as run:
            await run.transcribe(folder / "talks")
            rows = await run.queue.jobs.list()
            return run, {Path(row.spec.title).stem: row.status for row in rows}, engine

    return asyncio.run(main())


@NOT_WAITING
def test_a_job_that_is_cancelled_stays_so_and_is_no_failure(tmp_path: Path, no_wait: bool) -> None:
    async def cancel(run: Harness, queued: dict[str, Job]) -> None:
        await run.queue.cancel(queued["talk-7"].id)

    run, statuses, engine = run_and_change(tmp_path, cancel, no_wait=no_wait)
    ended = {Path(each.display_path).stem: each for each in run.report.recordings}
    assert len(ended) == len(run.report.recordings) == RECORDINGS
    assert ended["talk-7"].outcome is Outcome.CANCELLED
    assert "jobs retry" in ended["talk-7"].reason
    assert run.report.count(Outcome.DONE) == len(engine.sent) == RECORDINGS - 1
    assert statuses.pop("talk-7") is JobStatus.CANCELLED
    assert set(statuses.values()) == {JobStatus.COMPLETED}


@NOT_WAITING
def test_a_purged_queue_costs_the_run_no_recording(tmp_path: Path, no_wait: bool) -> None:
    async def purge(run: Harness, _: dict[str, Job]) -> None:
        assert await run.queue.jobs.purge(0.0, {JobStatus.QUEUED}) > 1

    run, statuses, engine = run_and_change(tmp_path, purge, no_wait=no_wait)
    assert run.report.count(Outcome.DONE) == len(engine.sent) == RECORDINGS
    assert list(statuses.values()) == [JobStatus.COMPLETED] * RECORDINGS
    reasons = {each.reason for each in run.events if isinstance(each, JobRetryScheduled)}
    assert reasons == {"its job was purged"}


@NOT_WAITING
@pytest.mark.parametrize("is_stored", [False, True])
def test_what_another_run_completes_meanwhile_is_written_here_too(
    tmp_path: Path, no_wait: bool, is_stored: bool
) -> None:
    elsewhere = FakeEngine()

    async def complete(run: Harness, queued: dict[str, Job]) -> None:
        if not is_stored:
            # Its transcript was removed since.
            claim = await claimed(run, queued["talk-7"])
            assert await run.queue.jobs.complete(claim)
            return
        copy = tmp_path / "copy.wav"
        copy.write_bytes((tmp_path / "talks" / "talk-7.wav").read_bytes())
        async with opened(tmp_path, elsewhere) as other:
            assert (await other.transcribe(copy)).count(Outcome.DONE) == 1

    run, statuses, engine = run_and_change(tmp_path, complete, no_wait=no_wait)
    assert len(elsewhere.sent) == is_stored
    assert len(engine.sent) == RECORDINGS - is_stored
    assert run.report.from_cache == is_stored
    assert run.report.count(Outcome.DONE) == RECORDINGS
    assert (tmp_path / "talks" / "talk-7.json").exists()
    assert set(statuses.values()) == {JobStatus.COMPLETED}


@NOT_WAITING
def test_what_fails_elsewhere_meanwhile_is_a_failure_with_its_reason(
    tmp_path: Path, no_wait: bool
) -> None:
    async def fail(run: Harness, queued: dict[str, Job]) -> None:
        claim = await claimed(run, queued["talk-7"])
        assert await run.queue.jobs.fail(claim, "400: not this one")

    run, statuses, engine = run_and_change(tmp_path, fail, no_wait=no_wait)
    assert (run.report.count(Outcome.DONE), len(engine.sent)) == (RECORDINGS - 1, RECORDINGS - 1)
    (failed,) = (each for each in run.report.recordings if each.outcome is Outcome.FAILED)
    assert (Path(failed.display_path).stem, failed.reason) == ("talk-7", "400: not this one")
    assert statuses.pop("talk-7") is JobStatus.FAILED


def test_only_what_another_run_works_on_is_called_taken(tmp_path: Path) -> None:
    async def hold(run: Harness, queued: dict[str, Job]) -> None:
        await claimed(run, queued["talk-7"])
        await run.queue.jobs.purge(0.0, {JobStatus.QUEUED})

    run, statuses, engine = run_and_change(tmp_path, hold, no_wait=True)
    assert run.report.count(Outcome.DONE) == len(engine.sent) == RECORDINGS - 1
    (taken,) = (each for each in run.report.recordings if each.outcome is Outcome.TAKEN)
    assert Path(taken.display_path).stem == "talk-7"
    assert statuses["talk-7"] is JobStatus.PROCESSING


async def queue_others(folder: Path, count: int) -> None:
    """Queue jobs of another run that come before all of ours."""
    async with opened(folder, FakeEngine()) as run:
        for number in range(count):
            spec = JobSpec(TRANSCRIPTION, 1, {"recording": f"other-{number}"})
            await run.queue.jobs.enqueue(f"{number:064}", 0, "other", spec, JobPriority.HIGH)


async def claimed(run: Harness, job: Job) -> Claim:
    """As a run in another process would take it."""
    claim = await run.queue.claim(job.id, run.workshop.worker)
    assert isinstance(claim, Claim)
    return claim


@pytest.mark.parametrize(
    "jobs_of_others", [pytest.param(0, marks=pytest.mark.slow), 2 * QUEUE_HEAD]
)
def test_a_changed_priority_counts_when_the_next_recording_starts(
    tmp_path: Path, jobs_of_others: int
) -> None:
    asyncio.run(queue_others(tmp_path, jobs_of_others))

    async def change(run: Harness, queued: dict[str, Job]) -> None:
        await run.queue.set_priority(queued["talk-5"].id, JobPriority.LOW)
        await run.queue.set_priority(queued["talk-7"].id, JobPriority.HIGH)

    run, statuses, _ = run_and_change(tmp_path, change)
    assert list(statuses.values()).count(JobStatus.COMPLETED) == RECORDINGS
    started = [Path(e.recording).stem for e in run.events if isinstance(e, JobStarted)]
    assert started[0] == "talk-0"
    assert started.index("talk-7") < started.index("talk-6")
    assert started[-1] == "talk-5"


def test_a_job_that_failed_before_is_said_to_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    make_recording(path, duration_s=6, sample_rate=8_000, channels=1)

    async def refuse(_: Upload) -> None:
        if len(engine.sent) == 1:
            raise ChunkRefused("400: not this one")

    engine = FakeEngine(refuse)

    async def retries() -> list[JobRetryScheduled]:
        async with opened(tmp_path, engine) as run:
            await run.transcribe(path)
            return [each for each in run.events if isinstance(each, JobRetryScheduled)]

    assert asyncio.run(retries()) == []
    (retry,) = asyncio.run(retries())
    assert (retry.recording, retry.retry_count) == (str(path), 1)
    assert "not this one" in retry.reason


def test_a_recordings_state_changes_along_its_transitions_only() -> None:
    reachable, frontier = {RunState.DISCOVERED}, [RunState.DISCOVERED]
    while frontier:
        new = TRANSITIONS[frontier.pop()] - reachable
        reachable |= new
        frontier += new
    assert reachable == set(RunState)
    assert {state for state in RunState if state.is_final} == {
        RunState.DONE,
        RunState.FAILED,
        RunState.LEFT,
        RunState.CANCELLED,
        RunState.ORDERED,
    }


def test_a_state_that_no_transition_leads_to_is_a_bug() -> None:
    fingerprint = FileRecord(1, 1, 1, 1, 1, "f" * 64)
    job = RecordingJob([Candidate("talk.wav", ".", True, Path().stat())], fingerprint, "key")
    job.advance(RunState.WAITING)
    with pytest.raises(RuntimeError, match="waiting, it cannot become done"):
        job.advance(RunState.DONE)
    job.advance(RunState.CLAIMED)
    job.fail(MediaError("first"))
    job.fail(MediaError("second"))
    job.interrupt()
    assert (job.state, job.reason, job.has_failed) == (RunState.FAILING, "first", True)
