"""What this run may work on: jobs in the ledger, claimed one by one, shared with other runs."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sttbatch.caching.fingerprints import UNREAD
from sttbatch.core.jobs import (
    TRANSCRIPTION,
    Claim,
    Job,
    JobPriority,
    JobSpec,
    Worker,
)
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.kinds.transcription.spec import TranscriptionSpec
from sttbatch.queue.job_queue import JobQueue

MAX_RETRIES = 3


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

        A cancelled one stays so, unless this run is told to send again what is stored; what is
        cancelled while it runs stays so in any case.
        """
        config = self.config
        specs = [TranscriptionSpec.of(each.candidates[0], each.declared_s, config) for each in jobs]
        rows = await asyncio.gather(
            *(
                self._row(
                    job.fingerprint.sha256,
                    spec.to_job_spec(),
                    revive_cancelled=config.run.force and not job.id,
                )
                for job, spec in zip(jobs, specs, strict=True)
            )
        )
        for job, row in zip(jobs, rows, strict=True):
            job.id, job.priority = row.id, row.priority

    async def take(self, job: RecordingJob) -> bool:
        """Claim a job. False: another run works on it, or ended it meanwhile."""
        taken = await self.queue.claim(job.id, self.worker)
        job.claim = taken if isinstance(taken, Claim) else None
        return job.claim is not None

    async def complete(self, job: RecordingJob) -> None:
        """Its outputs are written."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self.queue.jobs.complete(claim)

    async def fail(self, job: RecordingJob, reason: str) -> None:
        """It cannot go on; `jobs retry` or a new run over the recording revives it."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self.queue.jobs.fail(claim, reason, retry=False)

    async def release(self, job: RecordingJob) -> None:
        """The run ends; another may go on with it at once."""
        claim, job.claim = job.claim, None
        if claim is not None:
            await self.queue.jobs.release(claim)

    async def note(self, failures: Sequence[Failure]) -> None:
        """Give each a FAILED row; what another run works on is that run's to tell."""
        once = {each.content: each for each in reversed(failures)}
        await asyncio.gather(*(self._note(each) for each in once.values()))

    async def reconcile(self, done: set[str], readable: Callable[[], set[str]]) -> None:
        """End jobs of this request that wait or have failed and whose content is `done`.

        Those about files that could not be read are forgotten where `readable` names them.
        """
        rows = await self.queue.jobs.unfinished(
            self.config.chunking.audio_stream, self.request_sha256
        )
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
        row = await self._row(failure.content, JobSpec(TRANSCRIPTION, 1, payload))
        taken = await self.queue.claim(row.id, self.worker)
        if isinstance(taken, Claim):
            await self.queue.jobs.fail(taken, failure.reason, retry=False)

    async def _row(self, content: str, spec: JobSpec, *, revive_cancelled: bool = False) -> Job:
        return await self.queue.jobs.enqueue(
            content,
            self.config.chunking.audio_stream,
            self.request_sha256,
            spec,
            self.priority,
            MAX_RETRIES,
            revive_cancelled=revive_cancelled,
        )
