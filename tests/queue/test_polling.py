"""A process that finds everything taken waits for the others."""

from __future__ import annotations

import asyncio

from sttbatch.core.jobs import JobStatus
from sttbatch.queue.polling import Settled, wait_until_free
from tests.queue.harness import Harness, Ledger, contenders, in_harness


async def waited(harness: Harness, job_ids: list[str]) -> list[Settled]:
    groups = wait_until_free(harness.queue, job_ids)
    return [each async for group in groups for each in group]


def test_each_job_is_named_once_as_it_ends_or_becomes_free(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs = [await harness.queued(name) for name in "abcde"]
        claims = [await harness.claimed(job) for job in jobs[:4]]
        done, failed, released, purged, queued = (job.id for job in jobs)
        waiting = wait_until_free(harness.queue, [job.id for job in jobs])
        # It looks only while it is asked for the next one.
        settled = await anext(waiting)
        await harness.jobs.release(claims[2])
        settled += await anext(waiting)
        await harness.jobs.complete(claims[3])
        await harness.jobs.purge()
        settled += await anext(waiting)
        await harness.jobs.complete(claims[0])
        settled += await anext(waiting)
        last = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0.5)
        assert not last.done()
        await harness.jobs.fail(claims[1], "no", retry=False)
        settled += await asyncio.wait_for(last, 30)
        assert settled == [
            Settled(queued, JobStatus.QUEUED),
            Settled(released, JobStatus.QUEUED),
            Settled(purged, None),
            Settled(done, JobStatus.COMPLETED),
            Settled(failed, JobStatus.FAILED),
        ]
        assert [each async for each in waiting] == []

    in_harness(ledger, work)


def test_what_is_free_together_is_named_together(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs = [await harness.queued(name) for name in "abc"]
        groups = wait_until_free(harness.queue, [job.id for job in jobs])
        assert [len(group) async for group in groups] == [3]

    in_harness(ledger, work)


def test_the_job_of_a_process_that_is_killed_becomes_free(ledger: Ledger) -> None:
    job = in_harness(ledger, lambda harness: harness.queued())
    with contenders(1, "hold", ledger, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def work(harness: Harness) -> None:
            waiting = asyncio.create_task(waited(harness, [job.id]))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            holder.kill()
            assert await asyncio.wait_for(waiting, 30) == [Settled(job.id, JobStatus.QUEUED)]
            await harness.claimed(job)

        in_harness(ledger, work)


def test_a_wait_ends_when_the_run_stops(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        job = await harness.queued()
        await harness.claimed(job)
        looks = 0

        def stopping() -> bool:
            nonlocal looks
            looks += 1
            return looks > 3

        found = [each async for each in wait_until_free(harness.queue, [job.id], stopping)]
        assert found == []
        assert looks > 3

    in_harness(ledger, work)
