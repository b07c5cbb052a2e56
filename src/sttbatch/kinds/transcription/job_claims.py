"""JobClaims and Backlog: jobs in the ledger, which runs share and claim one by one."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from sttbatch.caching.fingerprints import UNREAD
from sttbatch.core.jobs import (
    TRANSCRIPTION,
    Claim,
    Job,
    JobPriority,
    JobSpec,
    JobStatus,
)
from sttbatch.core.orders import Assignment
from sttbatch.kinds.claims import RunClaims
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.kinds.transcription.spec import VERSION, RunConfig, TranscriptionSpec
from sttbatch.queue.job_queue import JobQueue

QUEUE_HEAD = 64
"""Rows of a higher priority that are searched for jobs of this run."""

LOOKED_UP = 32
"""Rows of the next jobs that are read together."""

LOOK_AGAIN_S = 0.1

ASKED_AT_ONCE = 500
"""Maximum number of own jobs in one query, which finds them behind jobs of other runs."""


class Failure(Struct, frozen=True):
    """A recording that failed before its job was claimed.

    `content` is its SHA-256, or its `unread_content` if it cannot be read.
    """

    display_path: str
    content: str
    reason: str
    audio_s: float = 0.0


class JobClaims(RunClaims, frozen=True, kw_only=True):
    """Enqueues, claims and ends the jobs of one run.

    `request_sha256` identifies a job together with a recording's content and stream. `assigned` is
    the only job of a worker's run, which holds its claim before the run begins. `completed` are the
    ids of jobs that the run has completed.
    """

    config: RunConfig
    request_sha256: str
    priority: JobPriority
    assigned: Assignment | None = None

    def adopt(self, job: RecordingJob) -> bool:
        """Give a recording the claim that this run began with; False: it is another recording."""
        if self.assigned is None:
            return True
        if job.fingerprint.sha256 != self.assigned.job.file_sha256:
            return False
        job.id, job.claim = self.assigned.job.id, self.assigned.claim
        return True

    async def enqueue(self, jobs: Sequence[RecordingJob]) -> dict[str, Job]:
        """Give each job its row in the queue, and that row's priority.

        A cancelled job or a dead letter stays so, except at the start of a run with `force`.
        Returns the rows by content.
        """
        config = self.config

        async def queued(job: RecordingJob) -> Job:
            sha256 = job.fingerprint.sha256
            spec = TranscriptionSpec.of(
                job.candidates[0], sha256, job.declared_s, config, job.stream
            )
            revive = config.run.force and not job.id
            return await self._row(sha256, spec.to_job_spec(), job.stream, revive=revive)

        rows = await asyncio.gather(*map(queued, jobs))
        for job, row in zip(jobs, rows, strict=True):
            job.id, job.priority = row.id, row.priority
        return {row.file_sha256: row for row in rows}

    async def dead_letters(self) -> dict[str, Job]:
        """The jobs of this request, by content, that are dead letters to this run."""
        if self.config.run.force:
            return {}
        stream = self.config.chunking.likely_stream
        rows = await self.queue.jobs.unfinished(stream, self.request_sha256)
        found = await self.queue.jobs.jobs(rows.values())
        return {
            job.file_sha256: job
            for job in found.values()
            if job.is_dead_letter and not job.is_outdated(VERSION)
        }

    async def note(self, failures: Sequence[Failure]) -> dict[str, Job]:
        """Give each a FAILED row, unless another run is processing it.

        Returns those that were dead letters before, by content.
        """
        once = {each.content: each for each in reversed(failures)}
        rows = await asyncio.gather(*(self._note(each) for each in once.values()))
        return {row.file_sha256: row for row in rows if row.is_dead_letter}

    async def reconcile(
        self, done: set[str], streams: set[int], readable: Callable[[], set[str]]
    ) -> None:
        """Complete queued and failed jobs of this request and `streams` whose content is `done`.

        Jobs of unreadable files are removed if their content is in `readable`.
        """
        rows: dict[str, str] = {}
        for stream in {self.config.chunking.likely_stream, *streams}:
            rows |= await self.queue.jobs.unfinished(stream, self.request_sha256)
        if any(content.startswith(UNREAD) for content in rows):
            await self.queue.jobs.forget([rows[each] for each in rows.keys() & readable()])
        await self.complete_done(rows, done)

    async def _note(self, failure: Failure) -> Job:
        # The paths of its outputs are unknown, so it cannot be run by its id.
        payload = {
            "recording": failure.display_path,
            "audio_s": failure.audio_s,
            "request": asdict(self.config.request),
        }
        row = await self._row(
            failure.content,
            JobSpec(TRANSCRIPTION, 1, payload),
            self.config.chunking.likely_stream,
        )
        taken = await self.queue.claim(row.id, self.worker)
        if isinstance(taken, Claim):
            await self.queue.jobs.fail(taken, failure.reason)
        return row

    async def _row(self, content: str, spec: JobSpec, stream: int, *, revive: bool = False) -> Job:
        return await self.queue.jobs.enqueue(
            content,
            stream,
            self.request_sha256,
            spec,
            self.priority,
            self.config.run.job_retries,
            revive=revive,
        )


class Backlog:
    """Hands out recordings by priority, then by length, the longest first.

    Long recordings come first so that lanes end together. `jobs priority` and `jobs cancel` of
    other processes have an effect until a tenth of a second before a recording is handed out.
    """

    def __init__(self, queue: JobQueue, jobs: Sequence[RecordingJob]) -> None:
        self._queue = queue
        self._jobs = {job.id: job for job in jobs}
        self._order = [_entry(job) for job in jobs]
        heapq.heapify(self._order)
        self._lock = asyncio.Lock()
        self._unasked: list[str] = []
        self._looked_at_s = -math.inf
        self._rows: dict[str, Job | None] = {}

    async def next(self) -> RecordingJob | None:
        """The next recording, CANCELLED if its job is; None: there are no more.

        Raises StateError if the ledger cannot be read.
        """
        async with self._lock:
            while (job := self._first()) is not None:
                if job.id not in self._rows or time.monotonic() > self._looked_at_s + LOOK_AGAIN_S:
                    await self._look(job)
                    continue
                if (row := self._rows[job.id]) is not None:
                    job.retry_count = row.retry_count
                    job.reason = row.error_message or ""
                    if row.status is JobStatus.CANCELLED:
                        job.advance(RunState.CANCELLED)
                del self._jobs[job.id]
                return job
        return None

    async def _look(self, first: RecordingJob) -> None:
        """Read the rows of the next jobs, and the priorities of all that were raised above them."""
        # The beginning of a heap is near enough to the next ones, and sorting takes no time.
        following = self._order[:LOOKED_UP]
        ids = [first.id, *(job_id for *_, job_id in following if job_id in self._jobs)]
        # Concurrently, as each waits for the same commit.
        raised, rows = await asyncio.gather(
            self._queue.jobs.queued_above(first.priority, QUEUE_HEAD, self._some()),
            self._queue.jobs.jobs(ids),
        )
        self._looked_at_s = time.monotonic()
        self._rows = {job_id: rows.get(job_id) for job_id in ids}
        lowered = {
            job_id: row.priority
            for job_id, row in rows.items()
            if row.priority < self._jobs[job_id].priority
        }
        for job_id, priority in (raised | lowered).items():
            if job_id in self._jobs:
                self._jobs[job_id].priority = priority
                heapq.heappush(self._order, _entry(self._jobs[job_id]))

    def _some(self) -> Sequence[str]:
        """Ids of some remaining jobs, in turn: a query with all of them might take too long."""
        self._unasked = self._unasked or [*self._jobs]
        some = self._unasked[-ASKED_AT_ONCE:]
        del self._unasked[-ASKED_AT_ONCE:]
        return some

    def _first(self) -> RecordingJob | None:
        while self._order:
            priority, _, job_id = self._order[0]
            job = self._jobs.get(job_id)
            if job is not None and -priority == job.priority:
                return job
            # It was already handed out, or has a newer entry.
            heapq.heappop(self._order)
        return None


def _entry(job: RecordingJob) -> tuple[int, float, str]:
    return -job.priority, -job.billable_s, job.id
