"""Before anything is sent: what is there, what is known of it, what is left to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.batch.claims import Failure
from sttbatch.batch.job import Job
from sttbatch.caching.content_addresser import ContentAddresser
from sttbatch.caching.file_index import FileIndex, Fingerprint, unread_content
from sttbatch.caching.result_ledger import ResultLedger
from sttbatch.core import events
from sttbatch.core.errors import RecordingError
from sttbatch.core.models import MERGE_VERSION
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.processing.media_workers import MediaWorkers

_AT_ONCE = 4


@dataclass(slots=True)
class Prepared:
    """What a discovery came to.

    Attributes:
        jobs: in the order of discovery; those with a transcript need nothing more sent.
        failures: what should be recordings and cannot be read.
        skipped: files that hold no sound and were not expected to.
    """

    jobs: list[Job] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: int = 0


class Preparation:
    """Fingerprint, transcript cache, probe."""

    def __init__(
        self,
        index: FileIndex,
        results: ResultLedger,
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

    async def prepare(self, found: Discovery) -> Prepared:
        """Look at every candidate once."""
        prepared = Prepared(failures=[_unread(*failure) for failure in found.failures])
        await self._index.load([each.path.absolute() for each in found.candidates])
        jobs: dict[str, Job] = {}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def look(candidate: Candidate) -> Job | RecordingError | None:
            async with turns:
                if self._stopping():
                    return None
                try:
                    return await self._look(candidate, jobs)
                except RecordingError as error:
                    return error

        looks = await asyncio.gather(*(look(each) for each in found.candidates))
        for candidate, seen in zip(found.candidates, looks, strict=True):
            job = seen if isinstance(seen, Job) else None
            error = job.unreadable if job is not None else seen
            if isinstance(error, RecordingError):
                if candidate.expected:
                    failure = _unread(candidate.shown, str(error))
                    if job is not None:
                        failure = Failure(candidate.shown, job.fingerprint.sha256, str(error))
                    prepared.failures.append(failure)
                else:
                    prepared.skipped += 1
            elif job is not None and candidate is job.candidates[0]:
                prepared.jobs.append(job)
        return prepared

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
            self._emit(events.CacheEntryAccessed(job.shown, job.transcript_key, level))
            job.transcript = hit.value if hit is not None else None
        if job.transcript is not None:
            job.cached = True
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


def _unread(shown: str, reason: str) -> Failure:
    return Failure(shown, unread_content(Path(shown)), reason)
