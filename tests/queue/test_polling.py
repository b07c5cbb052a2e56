"""A process that finds everything taken waits for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sttbatch.core.jobs import Job, JobStatus
from tests.queue.harness import Harness, Ledger, contenders, in_harness

Settled = list[tuple[str, JobStatus | None]]


def statuses(rows: Mapping[str, Job | None]) -> Settled:
    return [(job_id, row.status if row else None) for job_id, row in rows.items()]


async def waited(harness: Harness, job_ids: list[str]) -> Settled:
    groups = harness.queue.wait_until_free(job_ids)
    return [each async for group in groups for each in statuses(group)]


def test_each_job_is_named_once_as_it_ends_or_becomes_free(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs = [await harness.queued(name) for name in "abcde"]
        claims = [await harness.claimed(job) for job in jobs[:4]]
        done, failed, released, purged, queued = (job.id for job in jobs)
        waiting = harness.queue.wait_until_free([job.id for job in jobs])
        # It looks only while it is asked for the next one.
        settled = statuses(await anext(waiting))
        await harness.jobs.release(claims[2])
        settled += statuses(await anext(waiting))
        await harness.jobs.complete(claims[3])
        await harness.jobs.purge()
        settled += statuses(await anext(waiting))
        await harness.jobs.complete(claims[0])
        settled += statuses(await anext(waiting))
        last = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0.5)
        assert not last.done()
        await harness.jobs.fail(claims[1], "no")
        settled += statuses(await asyncio.wait_for(last, 30))
        assert settled == [
            (queued, JobStatus.QUEUED),
            (released, JobStatus.QUEUED),
            (purged, None),
            (done, JobStatus.COMPLETED),
            (failed, JobStatus.FAILED),
        ]
        assert [each async for each in waiting] == []

    in_harness(ledger, work)


def test_what_is_free_together_is_named_together(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        jobs = [await harness.queued(name) for name in "abc"]
        groups = harness.queue.wait_until_free([job.id for job in jobs])
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
            assert await asyncio.wait_for(waiting, 30) == [(job.id, JobStatus.PROCESSING)]
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

        found = [each async for each in harness.queue.wait_until_free([job.id], stopping)]
        assert found == []
        assert looks > 3

    in_harness(ledger, work)
