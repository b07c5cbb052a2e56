"""Files -> chunks -> cache -> engine -> merge -> outputs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core import events
from sttbatch.core.engine import Engine
from sttbatch.core.errors import (
    BudgetReached,
    ChunkError,
    RecordingError,
    RetryLater,
    Stopped,
    SttbatchError,
)
from sttbatch.core.jobs import JobStatus
from sttbatch.core.models import GapReason
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_transcriber import ChunkContext, ChunkTranscriber
from sttbatch.kinds.transcription.endings import UNDONE, Endings, Writer
from sttbatch.kinds.transcription.finishing import Finishing
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake, IntakeResult
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.recording_job import ChunkWork, Job
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Outcome
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.kinds.transcription.settling import Settling
from sttbatch.kinds.transcription.up_to_date import count_foreign_files
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.written_outputs import WrittenOutputs
from sttbatch.processing.discovery import Discovery
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.orchestrator import NextChunk, ParallelOrchestrator, Steps
from sttbatch.processing.scheduling.priority_semaphore import Lane
from sttbatch.processing.transcript.compressed_result import compress
from sttbatch.processing.transcript.result_merger import ChunkOutcome


async def _no_chunk() -> None:
    """Of a recording that is not ours to cut."""


class TranscriptionPipeline:
    """One run over one discovery."""

    def __init__(
        self,
        choices: RunConfig,
        *,
        preparation: Intake,
        engine: Engine,
        answers: ChunkTranscriber,
        auditing: GapRepair,
        results: ResultCache,
        claims: JobClaims,
        up_to_date: WrittenOutputs | None,
        addresser: ContentAddresser,
        media: MediaWorkers,
        registry: OutputRegistry,
        writer: Writer,
        orchestrator: ParallelOrchestrator[Job, ChunkWork],
        emit: events.Emit,
        report: BatchReport,
    ) -> None:
        self._choices = choices
        self._preparation = preparation
        self._answers = answers
        self._auditing = auditing
        self._addresser = addresser
        self._results = results
        self._claims = claims
        self._media = media
        self._registry = registry
        self._orchestrator = orchestrator
        self._emit = emit
        self.report = report
        self._bug: Exception | None = None
        self._planning = ChunkPlanner(choices, engine, results, addresser, auditing, emit, report)
        self._endings = Endings(choices, writer, up_to_date, emit, report, self._after_failure)
        self._settling = Settling(claims, results, self._endings, emit)
        self._finishing = Finishing(results, claims, self._endings, emit, report, self._give_up)

    def stop(self) -> None:
        """Begin nothing new; what is in flight is finished and stored."""
        self._orchestrator.stop()

    async def run(self, found: Discovery) -> BatchReport:
        """Transcribe what was found; always ends with a report, unless it is cancelled."""
        prepared = await self._prepare(found)
        for display_path in prepared.left:
            self._endings.left(display_path)
        await self._settling.fail(prepared.failures)
        try:
            await self._write_stored([job for job in prepared.jobs if job.cached])
            await self._settling.settle(prepared.jobs)
            await self._transcribe([job for job in prepared.jobs if not job.cached])
        except SttbatchError as error:
            self._give_up(error)
        except asyncio.CancelledError:
            # The worker's end frees them.
            for job in prepared.jobs:
                self._leave(job)
            raise
        if self._bug is not None:
            raise self._bug
        for job in prepared.jobs:
            if not job.finished:
                try:
                    await self._claims.release(job)
                except SttbatchError as error:
                    # The worker's end frees it, or the next run does.
                    self._give_up(error)
                self._leave(job)
        return self.report

    def _leave(self, job: Job) -> None:
        if not job.finished:
            self._endings.end(job, Outcome.LEFT, UNDONE)

    async def _write_stored(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if self._orchestrator.closed:
                return
            # One that was removed since it was looked at is for the next run.
            await self._settling.write_stored(job)

    async def _transcribe(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._emit(events.JobQueued(job.display_path, job.to_hear_s))
        await self._claims.enqueue(jobs)
        # Within a priority the longest first: its chunks must not be the last to fill the lanes.
        jobs.sort(key=lambda job: (-job.priority, -job.to_hear_s))
        await self._planning.expect(jobs)
        self._planning.announce()
        await self._work(jobs)

    async def _work(self, jobs: Sequence[Job]) -> None:
        """Work on what is free, then wait for what other runs hold, or take it over."""
        free: Sequence[Job] = jobs
        while free:
            await self._orchestrator.run(free, Steps(self._cutting, self._process, self._settle))
            held = [job for job in jobs if not job.finished and job.claim is None]
            if self._orchestrator.closed or not held:
                return
            if self._choices.run.no_wait:
                for job in held:
                    self._endings.end(job, Outcome.TAKEN, "another run is working on it")
                return
            free = await self._freed(held)

    async def _freed(self, held: Sequence[Job]) -> list[Job]:
        """Wait until some are free, and see to those that other runs end meanwhile."""
        lanes = self._orchestrator
        async for settled in self._claims.settled(held, lambda: lanes.closed):
            free = []
            for job, status, error in settled:
                if status is JobStatus.FAILED:
                    self._endings.fail(job, error or "another run failed on it")
                elif status is JobStatus.CANCELLED:
                    self._endings.end(job, Outcome.TAKEN, "it is cancelled, see `sttbatch jobs`")
                elif not await self._found_finished(job):
                    # Released, its holder died, or its transcript is gone again: it is ours to do.
                    free.append(job)
            if free:
                await self._claims.enqueue(free)
                return free
        return []

    async def _found_finished(self, job: Job) -> bool:
        """Whether another run has finished it since we looked; then its outputs are written."""
        if self._choices.run.force:
            return False
        level = await self._settling.write_stored(job)
        if level is None:
            return False
        self._emit(events.CacheLookup(job.display_path, job.transcript_key, level))
        return True

    async def forecast(self, found: Discovery) -> BatchForecast:
        """What `run` would send, as far as it is known before cutting; nothing is sent."""
        prepared = await self._prepare(found)
        for each in prepared.failures:
            self._endings.failed(each.display_path, each.audio_s, each.reason)
        open_jobs = [job for job in prepared.jobs if not job.cached]
        open_jobs.sort(key=lambda job: -job.to_hear_s)
        await self._planning.expect(open_jobs)
        return await self._planning.forecast(prepared.jobs)

    async def _prepare(self, found: Discovery) -> IntakeResult:
        prepared = await self._preparation.prepare(found)
        self.report.skipped = await count_foreign_files(found, self._registry) + prepared.skipped
        self.report.too_young = found.too_young
        recordings = [
            Recording(each.path, Path(each.root))
            for job in prepared.jobs
            for each in job.candidates
        ]
        plans = await self._registry.plan(recordings, self._choices.outputs)
        self._endings.plans = plans
        return prepared

    @contextlib.asynccontextmanager
    async def _cutting(self, job: Job) -> AsyncIterator[NextChunk[ChunkWork]]:
        """Hold a media worker while this recording is cut, if it is ours to work on."""
        async with contextlib.AsyncExitStack() as held:
            next_chunk: NextChunk[ChunkWork] = _no_chunk
            with self._ending(job):
                next_chunk = await self._opened(job, held)
            with self._ending(job):
                yield next_chunk

    @contextlib.contextmanager
    def _ending(self, job: Job) -> Iterator[None]:
        """What is wrong with a recording ends the recording, anything else the run."""
        try:
            yield
        except RecordingError as error:
            job.failure = str(error)
        except SttbatchError as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - a bug must not cost siblings their answers
            self._bug_found(job, error)

    async def _opened(self, job: Job, held: contextlib.AsyncExitStack) -> NextChunk[ChunkWork]:
        if not await self._claims.take(job):
            return _no_chunk
        if await self._found_finished(job):
            return _no_chunk
        self._emit(events.JobStarted(job.display_path, job.id))
        source, plans = await self._planning.plan(job)
        cutting = await held.enter_async_context(self._media.split(source, *plans))
        return lambda: self._planning.next_chunk(job, cutting)

    async def _process(self, work: ChunkWork, lane: Lane) -> None:
        """One chunk; nothing that it raises reaches its siblings."""
        job, chunk = work.job, work.chunk
        index, audio_s = chunk.span.index, chunk.span.duration_s
        try:
            outcome = await self._outcome(work, lane)
            job.outcomes.append(compress(outcome))
            done = outcome.gap is not GapReason.STILL_MISSING
            self._emit(
                events.ChunkProcessingCompleted(job.display_path, index, audio_s, outcome.cached)
                if done
                else events.ChunkProcessingFailed(job.display_path, index, audio_s, outcome.detail)
            )
        except RetryLater as error:
            job.failure = str(error)
        except Stopped:
            job.left = True
        except BudgetReached as error:
            job.left = True
            self._budget_reached(error)
        except SttbatchError as error:
            job.left = True
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - nor here
            self._bug_found(job, error)
        finally:
            chunk.upload.discard()
            job.pending -= 1

    async def _settle(self, job: Job) -> None:
        with self._ending(job):
            await self._finishing.finish_if_done(job)

    async def _outcome(self, work: ChunkWork, lane: Lane) -> ChunkOutcome:
        job, span = work.job, work.chunk.span
        kept = job.again.get((span.channel, span.start, span.end))
        if kept is None and work.chunk.silent:
            return ChunkOutcome(span, None, gap=GapReason.NO_SPEECH)
        assert job.claim is not None
        asker = ChunkContext(job.display_path, job.fingerprint.sha256, job.claim, lane)
        try:
            if kept is None:
                heard, cached = await self._answers.transcribe(asker, work.chunk)
            else:
                heard, cached = kept.value.heard, True
                self.report.from_cache += 1
                if self._addresser.chunk_key(work.chunk.audio_sha256) != kept.chunk_key:
                    # Cut by another version: its words have their place, but in another upload.
                    return ChunkOutcome(kept.span, heard, cached)
        except ChunkError as error:
            return ChunkOutcome(span, None, gap=GapReason.STILL_MISSING, detail=str(error))
        found = await self._auditing.audited(job, asker, work.chunk, heard)
        if found.over_budget is not None:
            self._budget_reached(found.over_budget)
        return ChunkOutcome(span, found.heard, cached and not found.sent, gaps=found.gaps)

    def _budget_reached(self, error: BudgetReached) -> None:
        if self.report.fatal is None:
            self.report.fatal = error
        # What others have claimed is covered, so it is still sent.
        self._orchestrator.close()

    def _give_up(self, error: SttbatchError) -> None:
        """Stop the run for a reason that concerns every recording."""
        if self.report.fatal is None:
            self.report.fatal = error
        self.stop()

    def _bug_found(self, job: Job, error: Exception) -> None:
        """It is raised once what is in flight is stored."""
        job.left = True
        self._bug = self._bug or error
        self.stop()

    def _after_failure(self) -> None:
        if self._choices.run.fail_fast:
            self.stop()
