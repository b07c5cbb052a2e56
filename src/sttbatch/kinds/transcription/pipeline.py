"""The way of a recording: intake, claim, plan, cut, transcribe, repair, merge, write."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial

from sttbatch.core import events
from sttbatch.core.errors import ChunkError, SttbatchError
from sttbatch.core.jobs import JobStatus
from sttbatch.core.models import GapReason
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_transcriber import ChunkContext, ChunkTranscriber
from sttbatch.kinds.transcription.completion import Completion
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake, IntakeResult
from sttbatch.kinds.transcription.job_claims import Backlog, JobClaims
from sttbatch.kinds.transcription.recording_job import (
    ChunkWork,
    CutterTurn,
    Lanes,
    RecordingJob,
    RunState,
)
from sttbatch.kinds.transcription.report import BatchForecast, Outcome
from sttbatch.kinds.transcription.run_control import RunControl
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery
from sttbatch.processing.scheduling.orchestrator import Lane, NextChunk, Steps
from sttbatch.processing.transcript.result_merger import ChunkOutcome


def _urgency(turn: CutterTurn) -> int:
    return turn.job.priority if turn.job is not None else 0


async def _no_chunk() -> None:
    """Cut nothing: the recording is not ours to work on."""


@dataclass(frozen=True, slots=True)
class TranscriptionPipeline:
    """One run over one discovery; what a recording passes through, in this order."""

    config: RunConfig
    intake: Intake
    claims: JobClaims
    planner: ChunkPlanner
    transcriber: ChunkTranscriber
    repair: GapRepair
    completion: Completion
    lanes: Lanes
    control: RunControl
    emit: events.Emit

    def stop(self) -> None:
        """Begin nothing new; what is in flight is finished and stored."""
        self.control.stop()

    async def run(self, discovery: Discovery) -> None:
        """Transcribe what was discovered; every recording ends in an event."""
        intake = await self._take_in(discovery)
        for display_path in intake.left:
            self.completion.report_skipped(display_path, Outcome.LEFT)
        await self.completion.fail_unread(intake.failures)
        try:
            await self._write_stored(intake.jobs)
            await self.completion.reconcile_ledger(intake.jobs)
            await self._transcribe([job for job in intake.jobs if job.state is RunState.DISCOVERED])
        except SttbatchError as error:
            self.control.abort(error)
        finally:
            # However it ends: the process may go on, and nobody else can end what it holds.
            for job in intake.jobs:
                try:
                    await self.claims.release(job)
                except SttbatchError as error:
                    self.control.abort(error)
                self.completion.skip(job, Outcome.LEFT)
        self.control.raise_bug()

    async def forecast(self, discovery: Discovery) -> BatchForecast:
        """What `run` would send, as far as it is known before cutting; nothing is sent."""
        intake = await self._take_in(discovery)
        for each in intake.failures:
            self.completion.report_failure(each.display_path, each.audio_s, each.reason)
        to_send = [job for job in intake.jobs if job.state is RunState.DISCOVERED]
        to_send.sort(key=lambda job: -job.billable_s)
        await self.planner.expect(to_send)
        return await self.planner.forecast(intake.jobs)

    async def _take_in(self, discovery: Discovery) -> IntakeResult:
        intake = await self.intake.take_in(discovery)
        await self.completion.plan_outputs(intake.jobs)
        return intake

    async def _write_stored(self, jobs: Sequence[RecordingJob]) -> None:
        for job in jobs:
            if self.control.closed:
                return
            if job.state is RunState.CACHED:
                # One that was removed since it was looked up is for the next run.
                await self.completion.write_stored(job)

    async def _transcribe(self, jobs: list[RecordingJob]) -> None:
        """Work on what is free, then wait for what other runs hold, or take it over."""
        for job in jobs:
            self.emit(events.JobQueued(job.display_path, job.billable_s))
        await self._enqueue(jobs)
        jobs.sort(key=lambda job: (-job.priority, -job.billable_s))
        await self.planner.expect(jobs)
        self.planner.announce()
        ready: Sequence[RecordingJob] = jobs
        while ready:
            cut = partial(self._cut, Backlog(self.claims.queue, ready))
            turns = [CutterTurn() for _ in ready]
            await self.lanes.run(turns, Steps(cut, self._process, self._complete, _urgency))
            held = [job for job in jobs if job.state is RunState.HELD_ELSEWHERE]
            if self.control.closed or not held:
                return
            if self.config.run.no_wait:
                await self._skip_held(held)
                return
            ready = await self._wait_for_others(held)

    async def _enqueue(self, jobs: Sequence[RecordingJob]) -> None:
        await self.claims.enqueue(jobs)
        for job in jobs:
            job.advance(RunState.WAITING)

    async def _skip_held(self, held: Sequence[RecordingJob]) -> None:
        rows = await self.claims.queue.jobs.jobs([job.id for job in held])
        for job in held:
            row = rows.get(job.id)
            is_cancelled = row is not None and row.status is JobStatus.CANCELLED
            self.completion.skip(job, Outcome.CANCELLED if is_cancelled else Outcome.TAKEN)

    async def _wait_for_others(self, held: Sequence[RecordingJob]) -> list[RecordingJob]:
        """Wait until some are ours to do, and end those that other runs or people ended."""
        ids = [job.id for job in held]
        async for rows in self.claims.queue.wait_until_free(ids, lambda: self.control.closed):
            ready = []
            for job in (job for job in held if job.id in rows):
                row = rows[job.id]
                if row is not None and row.status is JobStatus.CANCELLED:
                    self.completion.skip(job, Outcome.CANCELLED)
                elif row is not None and row.status is JobStatus.FAILED:
                    reason = row.error_message or "another run failed on it"
                    self.completion.fail_elsewhere(job, reason)
                elif not await self._is_written_elsewhere(job):
                    # Released, its holder died, or its transcript is gone again.
                    ready.append(job)
            if ready:
                for job in ready:
                    self._announce_retry(job, "another run gave it up")
                await self._enqueue(ready)
                return ready
        return []

    async def _is_written_elsewhere(self, job: RecordingJob) -> bool:
        """Whether another run has finished it since we looked; then its outputs are written."""
        if self.config.run.force:
            return False
        level = await self.completion.write_stored(job)
        if level is None:
            return False
        self.emit(events.CacheLookup(job.display_path, job.transcript_key, level))
        return True

    @contextlib.asynccontextmanager
    async def _cut(self, backlog: Backlog, turn: CutterTurn) -> AsyncIterator[NextChunk[ChunkWork]]:
        """Hold a media worker while a recording is cut, if it is ours to work on."""
        async with contextlib.AsyncExitStack() as opened:
            next_chunk: NextChunk[ChunkWork] = _no_chunk
            with self.control.guard():
                turn.job = await backlog.next()
            with self.control.guard(turn.job):
                if turn.job is not None:
                    next_chunk = await self._open(turn.job, opened)
            with self.control.guard(turn.job):
                yield next_chunk

    async def _open(
        self, job: RecordingJob, opened: contextlib.AsyncExitStack
    ) -> NextChunk[ChunkWork]:
        if job.state is RunState.CANCELLED:
            self.completion.skip(job, Outcome.CANCELLED)
            return _no_chunk
        if not await self.claims.take(job):
            job.advance(RunState.HELD_ELSEWHERE)
            return _no_chunk
        job.advance(RunState.CLAIMED)
        if await self._is_written_elsewhere(job):
            return _no_chunk
        if job.retry_count:
            self._announce_retry(job, job.reason)
        self.emit(events.JobStarted(job.display_path, job.id))
        return await opened.enter_async_context(self.planner.cutting(job))

    def _announce_retry(self, job: RecordingJob, reason: str) -> None:
        self.emit(events.JobRetryScheduled(job.display_path, job.retry_count, reason))

    async def _process(self, work: ChunkWork, lane: Lane) -> None:
        """Bring one chunk to its outcome; nothing that it raises reaches its siblings."""
        job, chunk = work.job, work.chunk
        name, index, audio_s = job.display_path, chunk.span.index, chunk.span.duration_s
        try:
            with self.control.guard(job):
                outcome = await self._outcome(work, lane)
                job.outcomes.append(outcome.compressed())
                self.emit(
                    events.ChunkProcessingFailed(name, index, audio_s, outcome.detail)
                    if outcome.gap is GapReason.STILL_MISSING
                    else events.ChunkProcessingCompleted(name, index, audio_s, outcome.cached)
                )
        finally:
            chunk.upload.discard()
            job.pending -= 1

    async def _outcome(self, work: ChunkWork, lane: Lane) -> ChunkOutcome:
        job, chunk, span = work.job, work.chunk, work.chunk.span
        stored = job.recheck.get((span.channel, span.start, span.end))
        if stored is None and chunk.silent:
            return ChunkOutcome(span, None, gap=GapReason.NO_SPEECH)
        assert job.claim is not None
        context = ChunkContext(
            job.display_path, job.fingerprint.sha256, job.claim, lane, span.index
        )
        try:
            if stored is None:
                words, cached = await self.transcriber.transcribe(context, chunk)
            else:
                words, cached = stored.value.transcription, True
                if stored.chunk_key != self.transcriber.addresser.chunk_key(chunk.audio_sha256):
                    # Another version cut it: its words have their times, but in another upload.
                    return ChunkOutcome(stored.span, words, cached)
        except ChunkError as error:
            return ChunkOutcome(span, None, gap=GapReason.STILL_MISSING, detail=str(error))
        if not cached:
            self.control.served()
        repaired = await self.repair.repair(job, context, chunk, words)
        if repaired.over_budget is not None:
            self.control.budget_reached(repaired.over_budget)
        return ChunkOutcome(
            span, repaired.transcription, cached and not repaired.sent, gaps=repaired.gaps
        )

    async def _complete(self, turn: CutterTurn) -> None:
        if turn.job is not None:
            with self.control.guard(turn.job):
                await self.completion.complete_if_ready(turn.job)
