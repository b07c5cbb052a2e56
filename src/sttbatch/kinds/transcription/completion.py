"""Completion: merges, stores, writes and reports recordings, each once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec import UNSET
from msgspec.structs import replace

from sttbatch.caching.fingerprints import unread_content
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.errors import (
    EndpointUnreachable,
    RecordingError,
    SttbatchError,
    is_hindrance,
)
from sttbatch.core.jobs import Job
from sttbatch.core.locations import location
from sttbatch.core.models import MIXED, Gap, GapReason, Transcript
from sttbatch.core.options import OutputOptions
from sttbatch.core.ports import SpeakerNames
from sttbatch.core.threads import computed
from sttbatch.kinds.claims import dead_letter_reason, times_failed
from sttbatch.kinds.report import SKIPPED, Outcome
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.job_claims import Failure, JobClaims
from sttbatch.kinds.transcription.recording_job import RecordingJob, RunState
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.outputs.document import embeddable, file_date
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.recipes import Recipe
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.discovery import Candidate
from sttbatch.processing.transcript.result_merger import ResultMerger

DURATION_TOLERANCE = 0.01
"""A share of the measured duration; a larger difference to the header is reported."""

LEAST_DIFFERENCE_S = 0.1
"""A smaller difference would be displayed as 0.0 s."""

TRUNCATED_SHARE = 0.01
TRUNCATED_S = 1.0
"""A recording that ends so much before the declared end is truncated."""

NOT_EMBEDDED = "its html page links to it: it is larger than 384 MiB, or in a bucket"


@dataclass(slots=True, eq=False)
class Completion:
    """Ends the recordings of one run, and their jobs in the ledger."""

    config: RunConfig
    results: ResultCache
    claims: JobClaims
    outputs: OutputWriter
    names: SpeakerNames
    control: RunControl
    emit: events.Emit
    _done: set[str] = field(default_factory=set, init=False)

    async def plan_outputs(self, recordings: Iterable[Candidate]) -> None:
        """Plan the names of the outputs of all copies, before any is written."""
        copies: dict[OutputOptions, list[Recording]] = {self.config.outputs: []}
        for each in recordings:
            options = each.outputs or self.config.outputs
            copies.setdefault(options, []).append(Recording(each.path, location(each.root)))
        for options, planned in copies.items():
            await self.outputs.plan(planned, options)

    async def is_stored(self, job: RecordingJob) -> bool:
        return await self.results.has_transcript(job.transcript_key)

    async def write_stored(self, job: RecordingJob) -> str | None:
        """End a job whose transcript is stored; returns the cache level that had it, or None."""
        stored = await self.results.transcript(job.transcript_key)
        if stored is None:
            return None
        if job.state is not RunState.CACHED:
            job.advance(RunState.CACHED)
        job.transcript, level = stored
        await self._end(job, await self._write(job, cached=True))
        return level

    async def complete_if_ready(self, job: RecordingJob) -> None:
        """End a job that has no pending chunks; called after its cut and after each chunk."""
        if job.pending:
            return
        error = self.control.error
        if job.state is RunState.INTERRUPTED and isinstance(error, EndpointUnreachable):
            job.fail(error)
        if job.state is RunState.TRANSCRIBING:
            job.advance(RunState.COMPLETING)
            await self._end(job, await self._merge_and_write(job))
        elif job.state is RunState.FAILING:
            await self._end(job, job.reason)

    def fail_elsewhere(self, job: RecordingJob, reason: str) -> None:
        """Report a job that failed in another run."""
        job.advance(RunState.FAILED)
        self._report_failed_copies(job, reason)

    def fail_changed(self, job: RecordingJob) -> None:
        """Report a job whose recording is not the one that was ordered."""
        self.fail_elsewhere(job, "it has changed since its job was queued; submit it again")

    def hand_over(self, job: RecordingJob) -> None:
        """End a job here that was ordered from the workers, who report it."""
        job.advance(RunState.ORDERED)
        job.reported_count = len(job.candidates)

    def fail_dead_letter(self, job: RecordingJob, row: Job) -> None:
        """End a dead letter, which is not processed until a user queues it again."""
        self.fail_elsewhere(job, dead_letter_reason(row))

    async def fail_unread(self, failures: Sequence[Failure]) -> None:
        """Report recordings that cannot be read, and record them in the ledger."""
        dead: Mapping[str, Job] = {}
        with self._warning():
            dead = await self.claims.note(failures)
        for each in failures:
            row = dead.get(each.content)
            reason = each.reason if row is None else f"{times_failed(row)}: {each.reason}"
            self.report_failure(each.display_path, each.audio_s, reason)

    def skip(self, job: RecordingJob, outcome: Outcome) -> None:
        """End a job as LEFT, TAKEN or CANCELLED, which is no failure."""
        copies = self._unreported(job)
        if copies and outcome is not Outcome.TAKEN and not job.state.is_final:
            job.advance(RunState(outcome))
        for copy in copies:
            self.report_skipped(copy.display_path, outcome, job.declared_s)

    def report_skipped(self, display_path: str, outcome: Outcome, audio_s: float = 0.0) -> None:
        self.emit(events.JobSkipped(display_path, audio_s, outcome, SKIPPED[outcome]))

    def report_failure(self, display_path: str, audio_s: float, reason: str) -> None:
        self.emit(events.JobFailed(display_path, audio_s, reason))
        self.control.recording_failed()

    async def reconcile_ledger(self, readable: Sequence[RecordingJob]) -> None:
        """End unfinished jobs of recordings that are done, or that have become readable."""
        with self._warning():
            streams = {job.stream for job in readable}
            await self.claims.reconcile(self._done, streams, lambda: _unread_contents(readable))

    async def _merge_and_write(self, job: RecordingJob) -> str | None:
        """Merge and write a recording; returns why it failed, None: it did not."""
        self._compare_durations(job)
        missing = [each for each in job.outcomes if each.gap is GapReason.STILL_MISSING]
        if len(missing) == len(job.outcomes):
            return missing[0].detail if missing else "it contains no audio"
        try:
            begun_s = time.monotonic()
            job.transcript = await computed(
                lambda: _merge(job),
                small=len(job.outcomes) == 1 and job.outcomes[0].is_short,
            )
            merge_s = time.monotonic() - begun_s
            self.emit(events.TranscriptMerged(job.display_path, merge_s))
            if job.transcript.is_complete:
                await self.results.store_transcript(
                    job.transcript_key, job.transcript, job.fingerprint.sha256
                )
            return await self._write(job, cached=job.is_cached)
        except SttbatchError as error:
            job.hindered = True
            self.control.abort(error)
            return str(error)

    async def _write(self, job: RecordingJob, *, cached: bool) -> str | None:
        """Write the outputs of every copy; returns why they, or the transcript, are incomplete."""
        assert job.transcript is not None
        audio_s = job.transcript.duration_s
        incomplete = _shortcomings(job.transcript)
        is_ordered = self.claims.assigned is not None
        unwritten = None
        # Further copies may be found meanwhile.
        while len(job.candidates) > job.reported_count:
            copy = job.candidates[job.reported_count]
            reason, is_left = incomplete, False
            try:
                await self._write_copy(job, copy, is_complete=incomplete is None)
            except RecordingError as error:
                is_left = is_ordered and is_hindrance(error)
                job.hindered |= is_hindrance(error)
                reason = unwritten = str(error)
            job.reported_count += 1
            if reason is None:
                self.emit(events.JobCompleted(copy.display_path, audio_s, cached))
            elif is_left:
                # Its order stays open, and may be fulfilled once there is space again.
                self.emit(events.Warned(copy.display_path, reason))
                self.report_skipped(copy.display_path, Outcome.LEFT, audio_s)
            else:
                self.report_failure(copy.display_path, audio_s, reason)
        # What cannot be written for one order must not fail the job, and so all others.
        return incomplete or (None if is_ordered else unwritten)

    async def _write_copy(self, job: RecordingJob, copy: Candidate, *, is_complete: bool) -> None:
        assert job.transcript is not None
        transcript, path, request = job.transcript, copy.display_path, self.config.request
        sha256, options = job.fingerprint.sha256, copy.outputs or self.config.outputs
        file = embeddable(copy.path, copy.status) if options.has_audio else None
        if options.has_audio and file is None:
            self.emit(events.Warned(path, NOT_EMBEDDED))
        key = job.transcript_key if is_complete else None
        begun_s = time.monotonic()
        date = file_date(copy.status, options.formats)
        recipe = Recipe(path, sha256, request.model, request.engine, options, request.task, date)
        names = await self.names.of(sha256)
        document = await computed(
            partial(recipe.document, transcript, names, file), small=transcript.is_short
        )
        written = await self.outputs.write(document, copy.path, key)
        self.emit(events.OutputsWritten(path, time.monotonic() - begun_s))
        outputs, kept = tuple(map(str, written.paths)), tuple(map(str, written.untouched))
        gaps, dropped = tuple(gap.reason for gap in transcript.gaps), len(transcript.dropped)
        replaced = sum(each.count for each in document.replacements)
        self.emit(events.FileProcessingCompleted(path, outputs, kept, gaps, dropped, replaced))

    async def _end(self, job: RecordingJob, reason: str | None) -> None:
        """End its job in the ledger, and report copies that are not reported yet."""
        job.advance(RunState.DONE if reason is None else RunState.FAILED)
        sha256 = job.fingerprint.sha256
        try:
            if reason is None:
                self._done.add(sha256)
                await self.claims.complete(job)
            elif job.hindered:
                await self.claims.release(job, reason)
            elif job.claim is not None:
                await self.claims.fail(job, reason)
            elif job.transcript is not None:
                failure = Failure(job.display_path, sha256, reason, job.transcript.duration_s)
                with self._warning():
                    await self.claims.note([failure])
        except SttbatchError as error:
            # Raised, it would cancel requests of other lanes.
            self.control.abort(error)
        if reason is not None:
            self._report_failed_copies(job, reason)
        job.release()

    def _report_failed_copies(self, job: RecordingJob, reason: str) -> None:
        for copy in self._unreported(job):
            self.report_failure(copy.display_path, job.declared_s, reason)

    def _unreported(self, job: RecordingJob) -> list[Candidate]:
        copies, job.reported_count = job.candidates[job.reported_count :], len(job.candidates)
        return copies

    def _compare_durations(self, job: RecordingJob) -> None:
        counted_s, declared_s = job.counted_s or 0.0, job.declared_s
        tolerated_s = max(DURATION_TOLERANCE * counted_s, LEAST_DIFFERENCE_S)
        if declared_s and abs(counted_s - declared_s) > tolerated_s:
            is_estimate = job.file is not None and job.file.duration_is_estimate
            source = "its length was estimated as" if is_estimate else "its header declares"
            message = f"{source} {declared_s:.1f} s, {counted_s:.1f} s were found"
            self.emit(events.Warned(job.display_path, message))

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        """Turn errors of recording failures into a warning, which fails no recording."""
        try:
            yield
        except SttbatchError as error:
            self.emit(
                events.Warned("", f"`sttbatch jobs list` misses some of what failed: {error}")
            )


def _unread_contents(jobs: Sequence[RecordingJob]) -> set[str]:
    """The stand-ins for the content of these files and their folders while they were unreadable."""
    files = {each.path.absolute() for job in jobs for each in job.candidates}
    folders = {folder for file in files for folder in file.parents}
    return {unread_content(path) for path in files | folders}


def _merge(job: RecordingJob) -> Transcript:
    """Merge the outcomes of a recording that is cut to its end and has no pending chunks."""
    assert job.counted_s is not None
    merged = ResultMerger().merge(job.outcomes, job.counted_s)
    transcript = replace(merged, stream=job.stream or UNSET)
    missing = _missing_end(job)
    if missing is None:
        return transcript
    return replace(transcript, gaps=(*transcript.gaps, missing))


def _missing_end(job: RecordingJob) -> Gap | None:
    """The gap between the measured end and the end that the header declares, if any."""
    if job.file is None or job.counted_s is None or job.file.duration_is_estimate:
        return None
    missing_s = job.declared_s - job.counted_s
    if missing_s <= max(TRUNCATED_S, TRUNCATED_SHARE * job.declared_s):
        return None
    detail = (
        f"truncated: the header declares {job.declared_s:.1f} s, {job.counted_s:.1f} s are there"
    )
    return Gap(job.counted_s, job.declared_s, GapReason.TRUNCATED, detail)


def _shortcomings(transcript: Transcript) -> str | None:
    """Why a transcript with gaps is incomplete; None: it is complete."""
    missing = [gap for gap in transcript.gaps if gap.reason is GapReason.STILL_MISSING]
    truncated = [gap.detail for gap in transcript.gaps if gap.reason is GapReason.TRUNCATED]
    parts = []
    if missing:
        spans = ", ".join(map(_span_text, missing[:5]))
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        parts.append(f"not transcribed: {spans}{more}: {missing[0].detail}")
    return "; ".join(parts + truncated) or None


def _span_text(gap: Gap) -> str:
    channel = f" of channel {gap.channel}" if gap.channel != MIXED else ""
    return f"{gap.start_s:.0f}-{gap.end_s:.0f} s{channel}"
