"""Jobs in the ledger, as one process sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.core.work import Granted
from sttbatch.queue.attempts import chunks_of, passes_of
from sttbatch.queue.job import Claim, Ended, Job, JobPayload, JobPriority, JobStatus, TakenBy
from tests.queue.harness import Clock, Room, in_room, rows


def test_a_job_from_the_queue_to_its_end(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        assert (job.status, job.priority, job.claim_number) == (JobStatus.QUEUED, 2, 0)
        room.clock.now += 5
        claim = await room.claimed(job)
        at_work = await room.reread(job)
        assert (at_work.status, at_work.worker_id) == (JobStatus.PROCESSING, room.worker.id)
        assert at_work.started_at == job.created_at + 5
        assert await room.queue.claim(job.id, room.worker) == TakenBy(room.worker.id)
        room.clock.now += 5
        assert await room.queue.complete(claim)
        done = await room.reread(job)
        assert (done.status, done.worker_id) == (JobStatus.COMPLETED, None)
        assert done.completed_at == job.created_at + 10
        assert await room.queue.claim(job.id, room.worker) == Ended(JobStatus.COMPLETED)
        assert await room.queue.claim("nothing", room.worker) == Ended(None)
        (only,) = await room.database.read(lambda db: passes_of(db, job.id))
        assert (only.claim_number, only.status) == (1, "COMPLETED")

    in_room(tmp_path, work)


def test_the_same_content_and_request_is_one_active_job(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        copy = await room.queue.enqueue(job.file_sha256, 0, "request", JobPayload("copy.mp3"))
        assert copy == job
        claim = await room.claimed(job)
        assert (await room.queued()).id == job.id
        await room.queue.complete(claim)
        # It was done before; whoever asks again wants it again.
        assert (await room.queued()).id != job.id
        other_stream = await room.queue.enqueue("a" * 64, 1, "request", JobPayload("a.mp3"))
        other_request = await room.queue.enqueue("a" * 64, 0, "other", JobPayload("a.mp3"))
        assert len({job.id, other_stream.id, other_request.id}) == 3

    in_room(tmp_path, work)


def test_failures_are_retried_until_none_are_left_and_then_revived(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued(max_retries=2)
        for count in (1, 2):
            claim = await room.claimed(job)
            assert claim.number == count
            assert await room.queue.fail(claim, "no answer", retry=True) is JobStatus.QUEUED
            assert (await room.reread(job)).retry_count == count
        failed = await room.queue.fail(await room.claimed(job), "gone", retry=True)
        dead = await room.reread(job)
        assert failed is dead.status is JobStatus.FAILED
        assert dead.is_dead_letter
        assert dead.error_message == "gone"
        revived = await room.queued()
        assert (revived.id, revived.status, revived.retry_count) == (job.id, JobStatus.QUEUED, 0)
        assert revived.error_message == "gone"
        claim = await room.claimed(revived)
        assert claim.number == 4
        await room.queue.complete(claim)
        assert (await room.reread(job)).error_message is None

    in_room(tmp_path, work)


def test_what_cannot_get_better_is_not_retried_by_itself(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        failed = await room.queue.fail(
            await room.claimed(job), "sp\udcffch.mp3 is no audio", retry=False
        )
        assert failed is JobStatus.FAILED
        again = await room.reread(job)
        assert again.error_message == "sp\\udcffch.mp3 is no audio"
        assert not again.is_dead_letter
        (queued,) = await room.queue.retry_failed()
        assert (queued.status, queued.retry_count) == (JobStatus.QUEUED, 1)
        assert await room.queue.retry_failed() == []

    in_room(tmp_path, work)


def test_a_claim_that_was_lost_changes_nothing(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        old = await room.claimed(job)
        assert await room.queue.release(old)
        assert (await room.reread(job)).retry_count == 0
        new = await room.claimed(job)
        before = rows(tmp_path, "SELECT * FROM processing_jobs")
        assert not await room.queue.complete(old)
        assert await room.queue.fail(old, "late", retry=True) is None
        assert await room.queue.fail(old, "late", retry=False) is None
        assert not await room.queue.release(old)
        assert rows(tmp_path, "SELECT * FROM processing_jobs") == before
        assert await room.queue.complete(new)
        assert not await room.queue.complete(new)
        passes = await room.database.read(lambda db: passes_of(db, job.id))
        assert [each.status for each in passes] == ["RELEASED", "COMPLETED"]

    in_room(tmp_path, work)


def test_cancelled_jobs_are_revived_where_they_stopped(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        await room.queue.fail(await room.claimed(job), "no answer", retry=True)
        assert (await room.queue.cancel(job.id)).status is JobStatus.CANCELLED
        assert await room.queue.claim(job.id, room.worker) == Ended(JobStatus.CANCELLED)
        with pytest.raises(UsageError, match="is CANCELLED"):
            await room.queue.cancel(job.id)
        revived = await room.queue.retry(job.id)
        assert (revived.status, revived.retry_count) == (JobStatus.QUEUED, 1)
        assert await room.queue.retry(job.id) == revived

    in_room(tmp_path, work)


def test_what_a_living_process_works_on_is_left_to_it(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        claim = await room.claimed(job)
        for refused in (
            room.queue.cancel(job.id),
            room.queue.retry(job.id),
            room.queue.set_priority(job.id, JobPriority.HIGH),
        ):
            with pytest.raises(UsageError, match=f"at work in process {room.worker.pid} on"):
                await refused
        await room.queue.complete(claim)
        with pytest.raises(UsageError, match="--force"):
            await room.queue.retry(job.id)
        with pytest.raises(UsageError, match="only while it is queued"):
            await room.queue.set_priority(job.id, JobPriority.HIGH)

    in_room(tmp_path, work)


def test_priority_orders_the_queue_and_a_new_run_never_lowers_it(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        jobs: list[Job] = []
        for name in "abc":
            room.clock.now += 1
            jobs.append(await room.queued(name))
        first, second, third = jobs
        await room.queue.set_priority(third.id, JobPriority.HIGH)
        await room.queue.set_priority(first.id, JobPriority.LOW)
        queued = await room.queue.list(JobStatus.QUEUED)
        assert [job.id for job in queued] == [third.id, second.id, first.id]
        assert (await room.queued("c")).priority is JobPriority.HIGH
        raised = await room.queue.enqueue(
            first.file_sha256, 0, "request", first.payload, JobPriority.HIGH
        )
        assert (raised.id, raised.priority) == (first.id, JobPriority.HIGH)
        newest = await room.queue.list(limit=2)
        assert [job.id for job in newest] == [third.id, second.id]

    in_room(tmp_path, work)


def test_an_unambiguous_beginning_of_an_id_is_enough(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        assert await room.queue.find(job.id) == job
        assert await room.queue.find(job.short_id.upper()) == job
        for unknown in ("zzz", job.id + "0", "%", ""):
            with pytest.raises(UsageError, match="there is no job"):
                await room.queue.find(unknown)
        # Seventeen of them cannot all begin with another digit.
        ids = [job.id] + [(await room.queued(f"{number:02}")).id for number in range(16)]
        shared = next(each[0] for each in ids if sum(i[0] == each[0] for i in ids) > 1)
        with pytest.raises(UsageError, match=f"more than one job begins with '{shared}'"):
            await room.queue.find(shared)

    in_room(tmp_path, work)


def test_purge_removes_what_ended_and_its_chunks_but_nothing_active(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        done, failed, queued, held = [await room.queued(name) for name in "abcd"]
        claim = await room.claimed(done)
        granted = await room.claim("chunk:1", claim)
        assert isinstance(granted, Granted)
        await room.answer(granted)
        await room.queue.complete(claim)
        await room.queue.fail(await room.claimed(failed), "no", retry=False)
        await room.claim("chunk:2", await room.claimed(held))
        assert len(await room.database.read(lambda db: chunks_of(db, done.id))) == 1
        room.clock.now += 100
        assert await room.queue.purge(101) == 0
        assert await room.queue.purge(100, {JobStatus.COMPLETED, JobStatus.QUEUED}) == 1
        assert set(await room.queue.statuses([done.id, failed.id])) == {failed.id}
        assert rows(tmp_path, "SELECT chunk_key FROM chunk_tasks") == [("chunk:2",)]
        assert await room.queue.purge() == 1
        assert set(await room.queue.statuses([queued.id, held.id])) == {queued.id, held.id}

    in_room(tmp_path, work)


def test_many_jobs_are_asked_for_at_once(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        jobs = [await room.queued(f"{number:04}") for number in range(3)]
        wanted = [job.id for job in jobs] + [f"unknown {number}" for number in range(1200)]
        assert await room.queue.statuses(wanted) == dict.fromkeys(wanted[:3], JobStatus.QUEUED)

    in_room(tmp_path, work, Clock())


def test_claims_are_values() -> None:
    assert Claim("a", "w", 1, 2) == Claim("a", "w", 1, 2)
