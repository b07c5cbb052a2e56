"""A process that finds everything taken waits for the others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sttbatch.queue.job import JobStatus
from sttbatch.queue.polling import Settled, wait_until_free
from tests.queue.harness import Room, contenders, in_room


async def waited(room: Room, job_ids: list[str]) -> list[Settled]:
    groups = wait_until_free(room.database, room.workers, job_ids)
    return [each async for group in groups for each in group]


def test_each_job_is_named_once_as_it_ends_or_becomes_free(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        jobs = [await room.queued(name) for name in "abcde"]
        claims = [await room.claimed(job) for job in jobs[:4]]
        done, failed, released, purged, queued = (job.id for job in jobs)
        waiting = wait_until_free(room.database, room.workers, [job.id for job in jobs])
        # It looks only while it is asked for the next one.
        settled = await anext(waiting)
        await room.queue.release(claims[2])
        settled += await anext(waiting)
        await room.queue.complete(claims[3])
        await room.queue.purge()
        settled += await anext(waiting)
        await room.queue.complete(claims[0])
        settled += await anext(waiting)
        last = asyncio.ensure_future(anext(waiting))
        await asyncio.sleep(0.5)
        assert not last.done()
        await room.queue.fail(claims[1], "no", retry=False)
        settled += await asyncio.wait_for(last, 30)
        assert settled == [
            Settled(queued, JobStatus.QUEUED),
            Settled(released, JobStatus.QUEUED),
            Settled(purged, None),
            Settled(done, JobStatus.COMPLETED),
            Settled(failed, JobStatus.FAILED),
        ]
        assert [each async for each in waiting] == []

    in_room(tmp_path, work)


def test_what_is_free_together_is_named_together(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        jobs = [await room.queued(name) for name in "abc"]
        groups = wait_until_free(room.database, room.workers, [job.id for job in jobs])
        assert [len(group) async for group in groups] == [3]

    in_room(tmp_path, work)


def test_the_job_of_a_process_that_is_killed_becomes_free(tmp_path: Path) -> None:
    job = in_room(tmp_path, lambda room: room.queued())
    with contenders(1, "hold", tmp_path, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def work(room: Room) -> None:
            waiting = asyncio.create_task(waited(room, [job.id]))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            holder.kill()
            assert await asyncio.wait_for(waiting, 30) == [Settled(job.id, JobStatus.QUEUED)]
            await room.claimed(job)

        in_room(tmp_path, work)


def test_a_wait_ends_when_the_run_stops(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        job = await room.queued()
        await room.claimed(job)
        looks = 0

        def stopping() -> bool:
            nonlocal looks
            looks += 1
            return looks > 3

        found = [
            each async for each in wait_until_free(room.database, room.workers, [job.id], stopping)
        ]
        assert found == []
        assert looks > 3

    in_room(tmp_path, work)
