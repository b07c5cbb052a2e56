"""Jobs in the ledger, as one process sees them."""

from __future__ import annotations

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import Claim, Ended, Job, JobPriority, JobSpec, JobStatus, TakenBy
from sttbatch.core.work import Granted
from tests.queue.harness import Harness, Ledger, in_harness, spec


def test_a_job_from_the_queue_to_its_end(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        assert (job.status, job.priority, job.claim_number) == (JobStatus.QUEUED, 2, 0)
        harness.clock.now += 5
        claim = await harness.claimed(job)
        at_work = await harness.reread(job)
        assert (at_work.status, at_work.worker_id) == (JobStatus.PROCESSING, harness.worker.id)
        assert at_work.started_at == job.created_at + 5
        assert await harness.queue.claim(job.id, harness.worker) == TakenBy(harness.worker.id)
        harness.clock.now += 5
        assert await harness.jobs.complete(claim)
        done = await harness.reread(job)
        assert (done.status, done.worker_id) == (JobStatus.COMPLETED, None)
        assert done.completed_at == job.created_at + 10
        assert await harness.queue.claim(job.id, harness.worker) == Ended(JobStatus.COMPLETED)
        assert await harness.queue.claim("nothing", harness.worker) == Ended(None)
        (only,) = await harness.jobs.attempts(job.id)
        assert (only.claim_number, only.status) == (1, "COMPLETED")

    in_harness(ledger, work)


def test_the_same_content_and_request_is_one_active_job(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        copy = await harness.jobs.enqueue(job.file_sha256, 0, "request", spec("copy.mp3"))
        assert copy == job
        claim = await harness.claimed(job)
        assert (await harness.queued()).id == job.id
        await harness.jobs.complete(claim)
        # It was done before; whoever asks again wants it again.
        assert (await harness.queued()).id != job.id
        other_stream = await harness.jobs.enqueue("a" * 64, 1, "request", spec("a.mp3"))
        other_request = await harness.jobs.enqueue("a" * 64, 0, "other", spec("a.mp3"))
        assert len({job.id, other_stream.id, other_request.id}) == 3

    in_harness(ledger, work)


def test_failures_are_retried_until_none_are_left_and_then_revived(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued(max_retries=2)
        for count in (1, 2):
            claim = await harness.claimed(job)
            assert claim.number == count
            assert await harness.jobs.fail(claim, "no answer")
            assert not (await harness.reread(job)).is_dead_letter
            assert (await harness.queue.retry(job.id)).retry_count == count
        assert await harness.jobs.fail(await harness.claimed(job), "gone")
        dead = await harness.reread(job)
        assert dead.status is JobStatus.FAILED
        assert dead.is_dead_letter
        assert dead.error_message == "gone"
        assert await harness.queued() == dead, "no run takes it up by itself"
        revived = await harness.jobs.enqueue(job.file_sha256, 0, "request", job.spec, revive=True)
        assert (revived.id, revived.status, revived.retry_count) == (job.id, JobStatus.QUEUED, 0)
        assert revived.error_message == "gone"
        claim = await harness.claimed(revived)
        assert claim.number == 4
        await harness.jobs.complete(claim)
        assert (await harness.reread(job)).error_message is None

    in_harness(ledger, work)


def test_what_failed_unread_or_for_an_older_version_begins_anew(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued(max_retries=0)
        await harness.jobs.fail(await harness.claimed(job), "not a recording that can be read")
        dead = await harness.queued()
        assert dead.is_dead_letter
        spec_now = JobSpec(dead.spec.kind, dead.spec.version + 1, dead.spec.payload)
        new = await harness.jobs.enqueue(dead.file_sha256, 0, "request", spec_now)
        assert (new.status, new.retry_count, new.spec) == (JobStatus.QUEUED, 0, spec_now)
        assert await harness.jobs.list() == [new]

    in_harness(ledger, work)


def test_a_job_that_something_else_stopped_keeps_its_retries(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued(max_retries=0)
        assert await harness.jobs.release(await harness.claimed(job), "the disk is full")
        freed = await harness.reread(job)
        assert (freed.status, freed.retry_count) == (JobStatus.QUEUED, 0)
        assert freed.error_message == "the disk is full"
        (attempt,) = await harness.jobs.attempts(job.id)
        assert attempt.status == "FAILED"
        await harness.jobs.release(await harness.claimed(job))
        assert (await harness.reread(job)).error_message == "the disk is full"

    in_harness(ledger, work)


def test_what_cannot_get_better_is_not_retried_by_itself(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        assert await harness.jobs.fail(await harness.claimed(job), "sp\udcffch.mp3 is no audio")
        again = await harness.reread(job)
        assert again.status is JobStatus.FAILED
        assert again.error_message == "sp\\udcffch.mp3 is no audio"
        assert not again.is_dead_letter
        (queued,) = await harness.jobs.retry_failed()
        assert (queued.status, queued.retry_count) == (JobStatus.QUEUED, 1)
        assert await harness.jobs.retry_failed() == []

    in_harness(ledger, work)


def test_a_claim_that_was_lost_changes_nothing(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        old = await harness.claimed(job)
        assert await harness.jobs.release(old)
        assert (await harness.reread(job)).retry_count == 0
        new = await harness.claimed(job)
        before = ledger.rows("SELECT * FROM processing_jobs")
        assert not await harness.jobs.complete(old)
        assert not await harness.jobs.fail(old, "late")
        assert not await harness.jobs.release(old)
        assert ledger.rows("SELECT * FROM processing_jobs") == before
        assert await harness.jobs.complete(new)
        assert not await harness.jobs.complete(new)
        attempts = await harness.jobs.attempts(job.id)
        assert [each.status for each in attempts] == ["RELEASED", "COMPLETED"]

    in_harness(ledger, work)


def test_cancelled_jobs_are_revived_where_they_stopped(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        await harness.jobs.fail(await harness.claimed(job), "no answer")
        await harness.queue.retry(job.id)
        assert (await harness.queue.cancel(job.id)).status is JobStatus.CANCELLED
        assert await harness.queue.claim(job.id, harness.worker) == Ended(JobStatus.CANCELLED)
        with pytest.raises(UsageError, match="is CANCELLED"):
            await harness.queue.cancel(job.id)
        revived = await harness.queue.retry(job.id)
        assert (revived.status, revived.retry_count) == (JobStatus.QUEUED, 1)
        assert await harness.queue.retry(job.id) == revived

    in_harness(ledger, work)


def test_what_a_living_process_works_on_is_left_to_it(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        claim = await harness.claimed(job)
        for refused in (
            harness.queue.cancel(job.id),
            harness.queue.retry(job.id),
            harness.queue.set_priority(job.id, JobPriority.HIGH),
        ):
            with pytest.raises(
                UsageError, match=f"is being processed by PID {harness.worker.pid} on"
            ):
                await refused
        await harness.jobs.complete(claim)
        with pytest.raises(UsageError, match="--force"):
            await harness.queue.retry(job.id)
        with pytest.raises(UsageError, match="only while it is queued"):
            await harness.queue.set_priority(job.id, JobPriority.HIGH)

    in_harness(ledger, work)


def test_priority_orders_the_queue_and_a_new_run_never_lowers_it(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs: list[Job] = []
        for name in "abc":
            harness.clock.now += 1
            jobs.append(await harness.queued(name))
        first, second, third = jobs
        await harness.queue.set_priority(third.id, JobPriority.HIGH)
        await harness.queue.set_priority(first.id, JobPriority.LOW)
        queued = await harness.jobs.list(JobStatus.QUEUED)
        assert [job.id for job in queued] == [third.id, second.id, first.id]
        assert (await harness.queued("c")).priority is JobPriority.HIGH
        raised = await harness.jobs.enqueue(
            first.file_sha256, 0, "request", first.spec, JobPriority.HIGH
        )
        assert (raised.id, raised.priority) == (first.id, JobPriority.HIGH)
        first_two = await harness.jobs.list(limit=2)
        assert [job.id for job in first_two] == [first.id, third.id]

    in_harness(ledger, work)


def test_an_unambiguous_beginning_of_an_id_is_enough(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        assert await harness.jobs.find(job.id) == job
        assert await harness.jobs.find(job.short_id.upper()) == job
        for unknown in ("zzz", job.id + "0", "%", ""):
            with pytest.raises(UsageError, match="there is no job"):
                await harness.jobs.find(unknown)
        # Seventeen of them cannot all begin with another digit.
        ids = [job.id] + [(await harness.queued(f"{number:02}")).id for number in range(16)]
        shared = next(each[0] for each in ids if sum(i[0] == each[0] for i in ids) > 1)
        with pytest.raises(UsageError, match=f"more than one job begins with '{shared}'"):
            await harness.jobs.find(shared)

    in_harness(ledger, work)


def test_purge_removes_what_ended_or_waits_and_its_chunks_but_nothing_in_hand(
    ledger: Ledger,
) -> None:
    async def work(harness: Harness) -> None:
        done, failed, queued, held = [await harness.queued(name) for name in "abcd"]
        claim = await harness.claimed(done)
        granted = await harness.claim("chunk:1", claim)
        assert isinstance(granted, Granted)
        await harness.answer(granted)
        await harness.jobs.complete(claim)
        await harness.jobs.fail(await harness.claimed(failed), "no")
        await harness.claim("chunk:2", await harness.claimed(held))
        assert len(await harness.jobs.chunks(done.id)) == 1
        harness.clock.now += 100
        assert await harness.jobs.purge(101, set(JobStatus)) == 0
        assert await harness.jobs.purge(100, {JobStatus.COMPLETED}) == 1
        assert await remaining(harness, done, failed) == [failed]
        assert ledger.rows("SELECT chunk_key FROM chunk_tasks") == [("chunk:2",)]
        assert await harness.jobs.purge() == 1
        assert await remaining(harness, failed, queued, held) == [queued, held]
        # What waits for a file that is gone would wait for ever.
        assert await harness.jobs.purge(100, set(JobStatus)) == 1
        assert await remaining(harness, queued, held) == [held]

    in_harness(ledger, work)


async def remaining(harness: Harness, *jobs: Job) -> list[Job]:
    found = await harness.jobs.jobs([job.id for job in jobs])
    return [job for job in jobs if job.id in found]


def test_many_jobs_are_asked_for_at_once(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs = [await harness.queued(f"{number:04}") for number in range(3)]
        wanted = [job.id for job in jobs] + [f"unknown {number}" for number in range(1200)]
        assert await harness.jobs.jobs(wanted) == {job.id: job for job in jobs}

    in_harness(ledger, work)


def test_what_is_cancelled_stays_so_until_somebody_wants_it_again(ledger: Ledger) -> None:
    """Runs queue what they find; only `jobs retry` and --force bring a cancelled job back."""

    async def work(harness: Harness) -> None:
        job = await harness.queued()
        await harness.queue.cancel(job.id)
        again = await harness.queued()
        assert (again.id, again.status) == (job.id, JobStatus.CANCELLED)
        assert await harness.queue.claim(job.id, harness.worker) == Ended(JobStatus.CANCELLED)
        forced = await harness.jobs.enqueue(
            job.file_sha256, 0, "request", job.spec, JobPriority.HIGH, revive=True
        )
        assert (forced.id, forced.status, forced.priority) == (job.id, JobStatus.QUEUED, 3)
        await harness.claimed(forced)

    in_harness(ledger, work)


def test_a_list_has_what_runs_then_the_queue_then_the_last_to_end(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        names = ("failed", "low", "done", "running", "high", "cancelled", "old")
        jobs = {}
        for name in names:
            harness.clock.now += 1
            jobs[name] = await harness.queued(name)
        await harness.queue.set_priority(jobs["low"].id, JobPriority.LOW)
        await harness.queue.set_priority(jobs["high"].id, JobPriority.HIGH)
        await harness.claimed(jobs["running"])
        await harness.jobs.complete(await harness.claimed(jobs["done"]))
        harness.clock.now += 1
        await harness.queue.cancel(jobs["cancelled"].id)
        harness.clock.now += 1
        await harness.jobs.fail(await harness.claimed(jobs["failed"]), "no")
        listed = [job.spec.title.removesuffix(".mp3") for job in await harness.jobs.list()]
        assert listed == ["running", "high", "old", "low", "failed", "cancelled", "done"]
        for limit in range(1, 8):
            some = await harness.jobs.list(limit=limit)
            assert [job.id for job in some] == [jobs[name].id for name in listed[:limit]]

    in_harness(ledger, work)


def test_claims_are_values() -> None:
    assert Claim("a", "w", 1, 2) == Claim("a", "w", 1, 2)
