"""Intake: fingerprints, looks up and probes recordings before anything is sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from msgspec import Struct, field

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter, unread_content
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import RecordingError, Stopped
from sttbatch.core.file_records import FileRecord
from sttbatch.core.locations import location
from sttbatch.core.models import MERGE_VERSION, AudioFile
from sttbatch.core.ports.objects import ObjectFacts
from sttbatch.kinds.transcription.fetched_objects import FetchedFile, FetchedObjects
from sttbatch.kinds.transcription.job_claims import Failure
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.kinds.transcription.short_files import ExaminedFiles, ShortFiles
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.kinds.transcription.up_to_date import report_skipped
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.processing.media.media_workers import MediaWorkers

_AT_ONCE = 16

_HASHED_BYTES = 1 << 28
"""A file that cannot be read is hashed up to this size; a sparse one may have terabytes."""


class IntakeResult(Struct):
    """The result of an intake.

    Attributes:
        jobs: in the order of discovery; CACHED ones need no request.
        failures: expected recordings that cannot be read.
        left: display paths of recordings that were not reached before the run ended.
        unfetched: objects to fetch, and then to `examine`.
    """

    jobs: list[RecordingJob] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unfetched: list[Candidate] = field(default_factory=list)


class Intake(Struct, frozen=True):
    """Fingerprints, looks up and probes recordings.

    Args:
        registry: identifies our outputs.
        fetched: needed for objects.
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
    fetched: FetchedObjects | None = None

    async def take_in(self, discovery: Discovery, *, fetches: bool = True) -> IntakeResult:
        """Examine every candidate once; objects only as far as they are known, unless `fetches`."""
        intake = IntakeResult(failures=[unread(*failure) for failure in discovery.failures])
        await self.index.load([each.path.absolute() for each in discovery.candidates])
        skipped = 0
        entries = await self._look_at_all(discovery.candidates, fetches=fetches)
        for candidate, entry in zip(discovery.candidates, entries, strict=True):
            if isinstance(entry, Candidate):
                intake.unfetched.append(entry)
            elif isinstance(entry, RecordingJob) and entry.state is not RunState.FAILED:
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
                intake.failures.append(unread(candidate.display_path, str(entry)))
        await report_skipped(discovery, self.registry, self.emit, skipped)
        return intake

    async def examine(
        self, candidate: Candidate, file: FetchedFile, jobs: dict[str, RecordingJob]
    ) -> RecordingJob:
        """The job of an object that was fetched, FAILED if its content cannot be read.

        `jobs` are those of the run by their content. One that has not ended gets the copy.
        """
        facts = candidate.status
        assert isinstance(facts, ObjectFacts)
        was_known = self.index.unchanged(os.fsencode(facts.url), facts) is not None
        fingerprint = await self.index.remember_object(facts.url, facts, file.sha256)
        earlier = jobs.get(file.sha256)
        if earlier is not None and not earlier.state.is_final:
            earlier.candidates.append(candidate)
            return earlier
        job = jobs[file.sha256] = self._new_job(candidate, fingerprint)
        if earlier is not None and earlier.state is RunState.FAILED:
            job.advance(RunState.FAILED)
            job.reason = earlier.reason
            return job
        is_done = earlier is not None and earlier.state is RunState.DONE
        if earlier is not None and is_done:
            job.transcript_key = earlier.transcript_key
        if (is_done or not was_known) and await self._is_stored(job, by_this_run=is_done):
            return job
        try:
            job.file = await self.media.probe(file.path, self.config.chunking.audio_stream)
        except RecordingError as error:
            job.advance(RunState.FAILED)
            job.reason = str(error)
            return job
        await self._probed(job)
        return job

    async def _look_at_all(
        self, candidates: Sequence[Candidate], *, fetches: bool
    ) -> Sequence[RecordingJob | RecordingError | Candidate | None]:
        """The job of each, FAILED if its content cannot be read; None: the run ended before.

        An object that has to be fetched, but is not, is itself.
        """
        jobs: dict[str, RecordingJob] = {}
        entries: list[RecordingJob | RecordingError | Candidate | None] = [None] * len(candidates)

        results = None if self.config.run.force else self.results
        files = ShortFiles(self.index, self.media, results, self.stopping)
        stream = self.config.chunking.audio_stream
        taking, taken = asyncio.Lock(), 0

        async def look(examined: AsyncIterator[tuple[Candidate, ExaminedFiles]]) -> None:
            nonlocal taken
            while not self.stopping():
                async with taking:
                    found = await anext(examined, None)
                    if found is None:
                        return
                    index, taken = taken, taken + 1
                candidate, known = found
                is_known_only = not fetches and isinstance(candidate.status, ObjectFacts)
                try:
                    entries[index] = await (
                        self._look_at_known(candidate, jobs)
                        if is_known_only
                        else self._look_at(candidate, jobs, known)
                    )
                except Stopped:
                    return
                except RecordingError as error:
                    entries[index] = error

        # A task for each of a hundred thousand candidates would take too much memory.
        async with contextlib.aclosing(
            files.examined(candidates, stream, self._likely_key)
        ) as examined:
            lookers = [asyncio.create_task(look(examined)) for _ in range(_AT_ONCE)]
            try:
                await asyncio.gather(*lookers)
            finally:
                # None may be in the generator when it is closed.
                for looker in lookers:
                    looker.cancel()
                await asyncio.wait(lookers)
        return entries

    async def _look_at_known(
        self, candidate: Candidate, jobs: dict[str, RecordingJob]
    ) -> RecordingJob | Candidate:
        """The job of an object whose transcript is stored, or else the object."""
        fingerprint = self.index.record(os.fsencode(candidate.path), candidate.status)
        if fingerprint is None:
            return candidate
        sha256 = fingerprint.sha256
        if sha256 not in jobs:
            job = self._new_job(candidate, fingerprint)
            if not await self._is_stored(job):
                return candidate
            if jobs.setdefault(sha256, job) is job:
                return job
        jobs[sha256].candidates.append(candidate)
        return jobs[sha256]

    async def _look_at(
        self, candidate: Candidate, jobs: dict[str, RecordingJob], examined: ExaminedFiles
    ) -> RecordingJob:
        path = candidate.path.absolute()
        probed = examined.probed.get(path) or await self._probe_unknown(candidate)
        fingerprint = examined.records.get(path) or await self._fingerprint(candidate)
        sha256 = fingerprint.sha256
        if sha256 in jobs:
            jobs[sha256].candidates.append(candidate)
            return jobs[sha256]
        job = jobs[sha256] = self._new_job(candidate, fingerprint)
        if job.transcript_key in examined.missing:
            self.emit(events.CacheLookup(job.display_path, job.transcript_key, None))
        elif await self._is_stored(job):
            return job
        try:
            if isinstance(probed, RecordingError):
                raise probed
            job.file = probed or await self._probe(candidate)
        except RecordingError as error:
            # It concerns every copy.
            job.advance(RunState.FAILED)
            job.reason = str(error)
            return job
        await self._probed(job)
        return job

    def _new_job(self, candidate: Candidate, fingerprint: FileRecord) -> RecordingJob:
        key = self._likely_key(fingerprint.sha256)
        mode = self.addresser.channels
        return RecordingJob([candidate], fingerprint, key, channel_mode=mode, fetched=self.fetched)

    async def _probed(self, job: RecordingJob) -> None:
        """Look up its transcript again if it is of another stream than was likely."""
        key = self._transcript_key(job.fingerprint.sha256, job.stream)
        if key != job.transcript_key:
            job.transcript_key = key
            await self._is_stored(job)
        self._mention_other_streams(job)

    def _likely_key(self, sha256: str) -> str:
        return self._transcript_key(sha256, self.config.chunking.likely_stream)

    def _transcript_key(self, sha256: str, stream: int) -> str:
        mode = self.config.run.audit_mode
        return self.addresser.transcript_key(sha256, stream, MERGE_VERSION, mode)

    async def _is_stored(self, job: RecordingJob, *, by_this_run: bool = False) -> bool:
        """Look up its transcript; a job with one becomes CACHED."""
        if self.config.run.force and not by_this_run:
            return False
        stored = await self.results.transcript(job.transcript_key)
        level = stored[1] if stored is not None else None
        self.emit(events.CacheLookup(job.display_path, job.transcript_key, level))
        if stored is not None:
            # It is read again when it is written, as all together may not fit into memory.
            job.advance(RunState.CACHED)
        return stored is not None

    def _mention_other_streams(self, job: RecordingJob) -> None:
        """Warn of other streams with speech, or else with sound, if none was requested."""
        also_heard = job.file.also_heard if job.file is not None else ()
        if self.config.chunking.audio_stream is not None or not (job.stream or also_heard):
            return
        others = ""
        if job.file is not None and also_heard:
            found = "speech" if job.file.has_speech else "sound"
            others = f"; {found} is on {', '.join(map(str, also_heard))} too"
        message = f"its audio stream {job.stream} is transcribed{others} (--audio-stream chooses)"
        self.emit(events.Warned(job.display_path, message))

    async def _probe_unknown(self, candidate: Candidate) -> AudioFile | RecordingError | None:
        """Probe a file of unknown content; large files that are no recordings are not hashed.

        Short files that should be recordings are hashed, so that copies share a job.
        """
        name = os.fsencode(candidate.path.absolute())
        if isinstance(candidate.status, ObjectFacts):
            return await self._probe_object(name, candidate.status)
        if candidate.expected and self.index.unchanged(name, candidate.status) is not None:
            return None
        try:
            return await self._probe(candidate)
        except RecordingError as error:
            if not candidate.expected or candidate.status.st_size > _HASHED_BYTES:
                raise
            return error

    async def _probe_object(
        self, name: bytes, facts: ObjectFacts
    ) -> AudioFile | RecordingError | None:
        """Fetch, hash and probe an object of unknown content, while it keeps its place."""
        assert self.fetched is not None
        if self.index.unchanged(name, facts) is not None:
            return None
        async with self.fetched.held(facts, self.stopping) as file:
            await self.index.remember_object(facts.url, facts, file.sha256)
            try:
                return await self.media.probe(file.path, self.config.chunking.audio_stream)
            except RecordingError as error:
                return error

    async def _fingerprint(self, candidate: Candidate) -> FileRecord:
        if isinstance(candidate.status, ObjectFacts):
            assert self.fetched is not None
            return await self.fetched.fingerprint(self.index, candidate.status, self.stopping)
        path = candidate.path
        assert isinstance(path, Path)
        return await self.index.fingerprint(path.absolute(), self.stopping)

    async def _probe(self, candidate: Candidate) -> AudioFile:
        stream = self.config.chunking.audio_stream
        if isinstance(candidate.status, ObjectFacts):
            assert self.fetched is not None
            async with self.fetched.held(candidate.status, self.stopping) as file:
                return await self.media.probe(file.path, stream)
        path = candidate.path
        assert isinstance(path, Path)
        return await self.media.probe(path, stream)


def unread(display_path: str, reason: str) -> Failure:
    """The failure of a recording whose content is unknown."""
    return Failure(display_path, unread_content(location(display_path)), reason)
