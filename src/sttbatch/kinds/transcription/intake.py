"""Before anything is sent: what is there, what is known of it, what is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprint, Fingerprinter, unread_content
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import RecordingError
from sttbatch.core.models import MERGE_VERSION
from sttbatch.kinds.transcription.job_claims import Failure
from sttbatch.kinds.transcription.recording_job import Job
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.processing.media.media_workers import MediaWorkers

_AT_ONCE = 4


@dataclass(slots=True)
class IntakeResult:
    """What a discovery came to.

    Attributes:
        jobs: in the order of discovery; those that are `cached` need nothing more sent.
        failures: what should be recordings and cannot be read.
        skipped: files that hold no sound and were not expected to.
        left: display paths of recordings that the run's end came before.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: int = 0
    left: list[str] = field(default_factory=list)


class Intake:
    """Fingerprint, transcript cache, probe."""

    def __init__(
        self,
        index: Fingerprinter,
        results: ResultCache,
        addresser: ContentAddresser,
        media: MediaWorkers,
        *,
        stream: int,
        audit_mode: str,
        force: bool,
        stopping: Callable[[], bool],
        emit: events.Emit,
    ) -> None:
        self._index = index
        self._results = results
        self._addresser = addresser
        self._media = media
        self._stream = stream
        self._audit_mode = audit_mode
        self._force = force
        self._stopping = stopping
        self._emit = emit

    async def prepare(self, found: Discovery) -> IntakeResult:
        """Look at every candidate once."""
        prepared = IntakeResult(failures=[_unread(*failure) for failure in found.failures])
        await self._index.load([each.path.absolute() for each in found.candidates])
        looks = await self._looks(found.candidates)
        for candidate, seen in zip(found.candidates, looks, strict=True):
            job = seen if isinstance(seen, Job) else None
            error = job.unreadable if job is not None else seen
            if isinstance(error, RecordingError):
                if candidate.expected:
                    failure = _unread(candidate.display_path, str(error))
                    if job is not None:
                        failure = Failure(
                            candidate.display_path, job.fingerprint.sha256, str(error)
                        )
                    prepared.failures.append(failure)
                else:
                    prepared.skipped += 1
            elif job is not None and candidate is job.candidates[0]:
                prepared.jobs.append(job)
            elif seen is None and candidate.expected:
                prepared.left.append(candidate.display_path)
        return prepared

    async def _looks(
        self, candidates: Sequence[Candidate]
    ) -> Sequence[Job | RecordingError | None]:
        """What each came to; None: the run's end came before."""
        jobs: dict[str, Job] = {}
        looks: list[Job | RecordingError | None] = [None] * len(candidates)
        # A task for each of a hundred thousand would take more memory than all else.
        waiting = enumerate(candidates)

        async def look() -> None:
            for index, candidate in waiting:
                if self._stopping():
                    return
                try:
                    looks[index] = await self._look(candidate, jobs)
                except RecordingError as error:
                    looks[index] = error

        await asyncio.gather(*(look() for _ in range(_AT_ONCE)))
        return looks

    async def _look(self, candidate: Candidate, jobs: dict[str, Job]) -> Job:
        if not candidate.expected:
            # A large file that is no recording is not worth hashing.
            await self._media.probe(candidate.path, self._stream)
        fingerprint = await self._index.fingerprint(candidate.path.absolute())
        known = jobs.get(fingerprint.sha256)
        if known is not None:
            known.candidates.append(candidate)
            return known
        job = self._job(candidate, fingerprint)
        jobs[fingerprint.sha256] = job
        if not self._force:
            hit = await self._results.transcript(job.transcript_key)
            level = hit.level if hit is not None else None
            self._emit(events.CacheLookup(job.display_path, job.transcript_key, level))
            # Read once more when it is written: together they may be more than memory holds.
            job.cached = hit is not None
        if job.cached:
            return job
        try:
            job.file = await self._media.probe(candidate.path, self._stream)
        except RecordingError as error:
            # It concerns every copy.
            job.unreadable = error
        return job

    def _job(self, candidate: Candidate, fingerprint: Fingerprint) -> Job:
        key = self._addresser.transcript_key(
            fingerprint.sha256, self._stream, MERGE_VERSION, self._audit_mode
        )
        return Job([candidate], fingerprint, key, channel_mode=self._addresser.channels)


def _unread(display_path: str, reason: str) -> Failure:
    return Failure(display_path, unread_content(Path(display_path)), reason)
