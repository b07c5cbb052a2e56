"""What a process does that finds everything taken: it looks again, soon and then less often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass

from sttbatch.core.jobs import JobStatus
from sttbatch.queue.job_queue import JobQueue

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 1.0
_GROWTH = 1.5


class Pace:
    """Pauses that grow from 0.2 s to 1 s while nothing happens."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    async def pause(self) -> None:
        await asyncio.sleep(self._next_s)
        self._next_s = min(LONGEST_PAUSE_S, self._next_s * _GROWTH)

    def reset(self) -> None:
        self._next_s = FIRST_PAUSE_S


@dataclass(frozen=True, slots=True)
class Settled:
    """A job that nobody works on any more.

    Attributes:
        status: how it ended; QUEUED: it can be claimed; None: it was purged.
    """

    job_id: str
    status: JobStatus | None


async def wait_until_free(
    queue: JobQueue,
    job_ids: Collection[str],
    stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[list[Settled]]:
    """Each job once, as it ends or can be claimed: released, or its holder died.

    Those that are seen together come together, so that what a dead run held is taken over as a
    whole. What is free may be taken by somebody else before the caller claims it; it then waits
    again. Ends early once `stopping` says so.
    """
    waiting = set(job_ids)
    pace = Pace()
    while waiting and not stopping():
        settled = await _settled(queue, waiting)
        if settled:
            waiting.difference_update(each.job_id for each in settled)
            yield settled
            pace.reset()
        if waiting and not stopping():
            await pace.pause()


async def _settled(queue: JobQueue, job_ids: Collection[str]) -> list[Settled]:
    found = await queue.jobs.jobs(job_ids)
    holders = {job.worker_id for job in found.values() if job.worker_id is not None}
    alive = {worker_id for worker_id in holders if await queue.workers.is_alive(worker_id)}
    settled = []
    for job_id in job_ids:
        job = found.get(job_id)
        if job is None:
            settled.append(Settled(job_id, None))
        elif job.status is not JobStatus.PROCESSING:
            settled.append(Settled(job_id, job.status))
        elif job.worker_id not in alive:
            settled.append(Settled(job_id, JobStatus.QUEUED))
    return settled
