"""What this run may work on: jobs in the ledger, claimed one by one, shared with other runs."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sttbatch.caching.fingerprints import UNREAD
from sttbatch.core.jobs import (
    TRANSCRIPTION,
    Claim,
    Job,
    JobPriority,
    JobSpec,
    JobStatus,
    Worker,
)
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.kinds.transcription.spec import RunConfig, TranscriptionSpec
from sttbatch.queue.job_queue import JobQueue

MAX_RETRIES = 3

QUEUE_HEAD = 64
"""Rows of a higher priority that are looked at for one of ours that was raised."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that failed without having been claimed.

    Attributes:
        content: its SHA-256, or what `unread_content` says where it cannot be read.
    """

    display_path: str
    content: str
    reason: str
    audio_s: float = 0.0


@dataclass(frozen=True, slots=True)
class JobClaims:
    """The decisions of one run about jobs.

    Args:
        request_sha256: with a recording's content and stream it tells which job it is.
    """

    queue: JobQueue
    worker: Worker
    config: RunConfig
    request_sha256: str
    priority: JobPriority

    async def enqueue(self, jobs: Sequence[RecordingJob]) -> None:
        """Give each job its row, and its priority if somebody raised that by hand.

        A cancelled one stays so, unless this run sends again what is stored; what is
        cancelled while it runs stays so in any case.
        """
        config = self.config

        async def queued(job: RecordingJob) -> Job:
            sha256 = job.fingerprint.sha256
            spec = TranscriptionSpec.of(
                job.candidates[0], sha256, job.declared_s, config, job.stream
            )
            revive = config.run.force and not job.id
            return await self._row(sha256, spec.to_job_spec(), job.stream, revive_cancelled=revive)

        rows = await asyncio.gather(*map(queued, jobs))
        for job, row in zip(jobs, rows, strict=True):
            job.id, job.priority = row.id, row.priority

    async def take(self, job: RecordingJob) -> bool:
        """Claim a job. False: another run works on it, or ended it meanwhile."""
        claiming = asyncio.ensure_future(self.queue.claim(job.id, self.worker))
        try:
            await asyncio.shield(claiming)
        finally:
            # Cancelled, it is written all the same, and is for the end of the run to release.
            taken = await claiming
            job.claim = taken if isinstance(taken, Claim) else None
        return job.claim is not None

    async def complete(self, job: RecordingJob) -> None:
        """Its outputs are written."""
        await self._end(job, self.queue.jobs.complete)

    async def fail(self, job: RecordingJob, reason: str) -> None:
        """It cannot go on; `jobs retry` or a new run over the recording revives it."""
        await self._end(job, lambda claim: self.queue.jobs.fail(claim, reason))

    async def release(self, job: RecordingJob) -> None:
        """The run ends; another may go on with it at once."""
        await self._end(job, self.queue.jobs.release)

    async def _end(self, job: RecordingJob, end: Callable[[Claim], Awaitable[object]]) -> None:
        claim, job.claim = job.claim, None
        if claim is not None:
            await self.queue.workers.end_claim(lambda: end(claim))

    async def note(self, failures: Sequence[Failure]) -> None:
        """Give each a FAILED row; what another run works on is that run's to tell."""
        once = {each.content: each for each in reversed(failures)}
        await asyncio.gather(*(self._note(each) for each in once.values()))

    async def reconcile(
        self, done: set[str], streams: set[int], readable: Callable[[], set[str]]
    ) -> None:
        """End jobs of this request and `streams` that wait or failed and whose content is `done`.

        Those about files that could not be read are forgotten where `readable` names them.
        """
        rows: dict[str, str] = {}
        for stream in {self.config.chunking.likely_stream, *streams}:
            rows |= await self.queue.jobs.unfinished(stream, self.request_sha256)
        if any(content.startswith(UNREAD) for content in rows):
            await self.queue.jobs.forget([rows[each] for each in rows.keys() & readable()])
        for content in rows.keys() & done:
            taken = await self.queue.claim(rows[content], self.worker, revive_failed=True)
            if isinstance(taken, Claim):
                await self.queue.jobs.complete(taken)

    async def _note(self, failure: Failure) -> None:
        # Where its outputs would belong is not known, so it cannot be run by its id.
        payload = {
            "recording": failure.display_path,
            "audio_s": failure.audio_s,
            "request": dataclasses.asdict(self.config.request),
        }
        row = await self._row(
            failure.content,
            JobSpec(TRANSCRIPTION, 1, payload),
            self.config.chunking.likely_stream,
        )
        taken = await self.queue.claim(row.id, self.worker)
        if isinstance(taken, Claim):
            await self.queue.jobs.fail(taken, failure.reason)

    async def _row(
        self, content: str, spec: JobSpec, stream: int, *, revive_cancelled: bool = False
    ) -> Job:
        return await self.queue.jobs.enqueue(
            content,
            stream,
            self.request_sha256,
            spec,
            self.priority,
            MAX_RETRIES,
            revive_cancelled=revive_cancelled,
        )


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
            while (job := self._first()) is not None:
                # Together, as each would wait for the same commit.
                raised, rows = await asyncio.gather(
                    self._queue.jobs.queued_above(job.priority, QUEUE_HEAD),
                    self._queue.jobs.jobs([job.id]),
                )
                row, is_first = rows.get(job.id), True
                if row is not None and row.priority < job.priority:
                    raised[job.id] = row.priority
                for job_id, priority in raised.items():
                    if job_id in self._jobs:
                        self._prioritise(self._jobs[job_id], priority)
                        is_first = False
                if not is_first:
                    continue
                if row is not None:
                    job.retry_count = row.retry_count
                    job.reason = row.error_message or ""
                    if row.status is JobStatus.CANCELLED:
                        job.advance(RunState.CANCELLED)
                del self._jobs[job.id]
                return job
        return None

    def _first(self) -> RecordingJob | None:
        while self._order:
            priority, _, job_id = self._order[0]
            job = self._jobs.get(job_id)
            if job is not None and -priority == job.priority:
                return job
            # It was handed out already, or has another entry.
            heapq.heappop(self._order)
        return None

    def _prioritise(self, job: RecordingJob, priority: int) -> None:
        job.priority = priority
        heapq.heappush(self._order, _entry(job))


def _entry(job: RecordingJob) -> tuple[int, float, str]:
    return -job.priority, -job.billable_s, job.id
