"""Intake: fingerprints, looks up and probes recordings before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter, unread_content
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import RecordingError
from sttbatch.core.models import MERGE_VERSION
from sttbatch.kinds.transcription.job_claims import Failure
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.kinds.transcription.up_to_date import report_skipped
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.processing.media.media_workers import MediaWorkers

_AT_ONCE = 4


@dataclass(slots=True)
class IntakeResult:
    """The result of an intake.

    Attributes:
        jobs: in the order of discovery; CACHED ones need no request.
        failures: expected recordings that cannot be read.
        left: display paths of recordings that were not reached before the run ended.
    """

    jobs: list[RecordingJob] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Intake:
    """Fingerprints, looks up and probes recordings.

    Args:
        registry: identifies our outputs.
        stopping: whether no further recording is examined.
    """

    config: RunConfig
    index: Fingerprinter
    results: ResultCache
    addresser: ContentAddresser
    media: MediaWorkers
    registry: OutputRegistry
    stopping: Callable[[], bool]
    emit: events.Emit

    async def take_in(self, discovery: Discovery) -> IntakeResult:
        """Examine every candidate once."""
        intake = IntakeResult(failures=[_unread(*failure) for failure in discovery.failures])
        await self.index.load([each.path.absolute() for each in discovery.candidates])
        skipped = 0
        entries = await self._look_at_all(discovery.candidates)
        for candidate, entry in zip(discovery.candidates, entries, strict=True):
            if isinstance(entry, RecordingJob) and entry.state is not RunState.FAILED:
                if candidate is entry.candidates[0]:
                    intake.jobs.append(entry)
            elif not candidate.expected:
                skipped += entry is not None
            elif entry is None:
                intake.left.append(candidate.display_path)
            elif isinstance(entry, RecordingJob):
                sha256 = entry.fingerprint.sha256
                intake.failures.append(Failure(candidate.display_path, sha256, entry.reason))
            else:
                intake.failures.append(_unread(candidate.display_path, str(entry)))
        await report_skipped(discovery, self.registry, self.emit, skipped)
        return intake

    async def _look_at_all(
        self, candidates: Sequence[Candidate]
    ) -> Sequence[RecordingJob | RecordingError | None]:
        """The job of each, FAILED if its content cannot be read; None: the run ended before."""
        jobs: dict[str, RecordingJob] = {}
        entries: list[RecordingJob | RecordingError | None] = [None] * len(candidates)
        # A task for each of a hundred thousand candidates would take too much memory.
        waiting = enumerate(candidates)

        async def look() -> None:
            for index, candidate in waiting:
                if self.stopping():
                    return
                try:
                    entries[index] = await self._look_at(candidate, jobs)
                except RecordingError as error:
                    entries[index] = error

        await asyncio.gather(*(look() for _ in range(_AT_ONCE)))
        return entries

    async def _look_at(self, candidate: Candidate, jobs: dict[str, RecordingJob]) -> RecordingJob:
        if not candidate.expected:
            # Large files that are no recordings are not hashed.
            await self.media.probe(candidate.path, self.config.chunking.audio_stream)
        fingerprint = await self.index.fingerprint(candidate.path.absolute())
        sha256 = fingerprint.sha256
        if sha256 in jobs:
            jobs[sha256].candidates.append(candidate)
            return jobs[sha256]
        key = self.addresser.transcript_key(
            sha256, self.config.chunking.audio_stream, MERGE_VERSION, self.config.run.audit_mode
        )
        mode = self.addresser.channels
        job = jobs[sha256] = RecordingJob([candidate], fingerprint, key, channel_mode=mode)
        if not self.config.run.force:
            stored = await self.results.transcript(key)
            level = stored[1] if stored is not None else None
            self.emit(events.CacheLookup(job.display_path, key, level))
            if stored is not None:
                # It is read again when it is written, as all together may not fit into memory.
                job.advance(RunState.CACHED)
                return job
        try:
            job.file = await self.media.probe(candidate.path, self.config.chunking.audio_stream)
        except RecordingError as error:
            # It concerns every copy.
            job.advance(RunState.FAILED)
            job.reason = str(error)
        return job


def _unread(display_path: str, reason: str) -> Failure:
    return Failure(display_path, unread_content(Path(display_path)), reason)
