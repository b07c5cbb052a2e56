"""What a process does that finds everything taken: it looks again, soon and then less often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

from sttbatch.core.jobs import Job, JobStatus
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


async def wait_until_free(
    queue: JobQueue,
    job_ids: Collection[str],
    stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[dict[str, Job | None]]:
    """Each job once, as it ends or can be claimed: released, or its holder died.

    Its row comes with it, which says PROCESSING where the holder died; None: it was purged. Those
    that are seen together come together, so that what a dead run held is taken over as a whole.
    What is free may be taken by somebody else before the caller claims it; it then waits again.
    Ends early once `stopping` says so.
    """
    waiting = set(job_ids)
    pace = Pace()
    while waiting and not stopping():
        rows = await queue.jobs.jobs(waiting)
        holders = {row.worker_id for row in rows.values()}
        alive = {each for each in holders if each and await queue.workers.is_alive(each)}
        settled = {
            job_id: row
            for job_id in waiting
            if (row := rows.get(job_id)) is None
            or row.status is not JobStatus.PROCESSING
            or row.worker_id not in alive
        }
        if settled:
            waiting.difference_update(settled)
            yield settled
            pace.reset()
        if waiting and not stopping():
            await pace.pause()
