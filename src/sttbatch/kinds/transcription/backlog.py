"""The recordings of a run that wait for a cutter, in the order that the queue has now."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence

from sttbatch.core.jobs import JobPriority, JobStatus
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.queue.job_queue import JobQueue

QUEUE_HEAD = 64
"""Rows at the head of the queue that are looked at for one of ours that was raised."""


class Backlog:
    """Hands out recordings: the highest priority first, and in it the longest.

    The chunks of the longest must not be the last to fill the lanes. `jobs priority` and
    `jobs cancel` of another process count until a recording is handed out.

    Args:
        queue: the jobs in the ledger.
        jobs: each has its row in the queue.
    """

    def __init__(self, queue: JobQueue, jobs: Sequence[RecordingJob]) -> None:
        self._queue = queue
        self._jobs = {job.id: job for job in jobs}
        self._order = [_entry(job) for job in jobs]
        heapq.heapify(self._order)
        self._lock = asyncio.Lock()

    async def next(self) -> RecordingJob | None:
        """The recording to begin now, CANCELLED if its job is; None: there are no more.

        Raises:
            StateError: the ledger cannot be read.
        """
        async with self._lock:
            await self._notice_raised()
            while self._order:
                priority, _, job_id = heapq.heappop(self._order)
                job = self._jobs.get(job_id)
                if job is None or -priority != job.priority:
                    # It was handed out already, or has another entry.
                    continue
                row = (await self._queue.jobs.jobs([job_id])).get(job_id)
                if row is not None and row.priority < job.priority:
                    self._prioritise(job, row.priority)
                    continue
                if row is not None:
                    job.retry_count = row.retry_count
                    job.reason = row.error_message or ""
                    if row.status is JobStatus.CANCELLED:
                        job.advance(RunState.CANCELLED)
                del self._jobs[job_id]
                return job
        return None

    async def _notice_raised(self) -> None:
        if not self._order or -self._order[0][0] >= max(JobPriority):
            return
        for row in await self._queue.jobs.list(JobStatus.QUEUED, QUEUE_HEAD):
            job = self._jobs.get(row.id)
            if job is not None and row.priority > job.priority:
                self._prioritise(job, row.priority)

    def _prioritise(self, job: RecordingJob, priority: int) -> None:
        job.priority = priority
        heapq.heappush(self._order, _entry(job))


def _entry(job: RecordingJob) -> tuple[int, float, str]:
    return -job.priority, -job.billable_s, job.id
