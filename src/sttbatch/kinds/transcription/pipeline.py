"""TranscriptionPipeline: intake, claim, plan, cut, transcribe, repair, merge, write."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from sttbatch.core import events
from sttbatch.core.errors import SttbatchError
from sttbatch.core.jobs import Job, JobStatus
from sttbatch.core.ports import OrderStore
from sttbatch.kinds.ordering import PlacedOrder, orders_of, route_of
from sttbatch.kinds.report import BatchForecast, Outcome
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_processing import ChunkProcessor
from sttbatch.kinds.transcription.completion import Completion
from sttbatch.kinds.transcription.intake import Intake, IntakeResult
from sttbatch.kinds.transcription.job_claims import Backlog, JobClaims
from sttbatch.kinds.transcription.object_intake import ObjectIntake
from sttbatch.kinds.transcription.recording_job import (
    ChunkWork,
    CutterTurn,
    RecordingJob,
    RunState,
)
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery
from sttbatch.processing.scheduling.orchestrator import NextChunk, Steps


def _urgency(turn: CutterTurn) -> int:
    return turn.job.priority if turn.job is not None else 0


async def _no_chunk() -> None:
    """Return no chunk, as this run does not process the recording."""


class TranscriptionPipeline(Struct, frozen=True):
    """One run over one discovery; fields are in the order in which a recording passes them."""

    config: RunConfig
    intake: Intake
    claims: JobClaims
    planner: ChunkPlanner
    chunks: ChunkProcessor
    completion: Completion
    control: RunControl

    async def run(self, discovery: Discovery) -> None:
        """Transcribe discovered recordings; each ends with an event."""
        intake = await self._take_in(discovery, fetches=False)
        objects = ObjectIntake(self.intake, self.claims, self.completion, intake)
        await self._process_new(intake, lambda jobs: self._transcribe(jobs, objects))

    async def submit(self, discovery: Discovery, orders: OrderStore) -> list[PlacedOrder]:
        """Queue discovered recordings for workers, with an order for the outputs of each copy.

        Those that are not ordered end with an event; outputs of what is stored are written.
        """
        placed: list[PlacedOrder] = []

        async def order(jobs: list[RecordingJob]) -> None:
            placed.extend(await self._order(jobs, orders))

        await self._process_new(await self._take_in(discovery), order)
        return placed

    async def _process_new(
        self, intake: IntakeResult, process: Callable[[list[RecordingJob]], Awaitable[None]]
    ) -> None:
        """End what needs no request, and `process` the rest."""
        for display_path in intake.left:
            self.completion.report_skipped(display_path, Outcome.LEFT)
        await self.completion.fail_unread(intake.failures)
        try:
            for job in intake.jobs:
                # The next run processes one whose transcript was removed since it was looked up.
                if job.state is RunState.CACHED and not self.control.closed:
                    await self.completion.write_stored(job)
            if self.claims.assigned is None:
                await self.completion.reconcile_ledger(intake.jobs)
            await process([job for job in intake.jobs if job.state is RunState.DISCOVERED])
        except SttbatchError as error:
            self.control.abort(error)
        finally:
            # The process may live on, and no other can release its claims.
            for job in intake.jobs:
                try:
                    await self.claims.release(job)
                except SttbatchError as error:
                    self.control.abort(error)
                self.completion.skip(job, Outcome.LEFT)
                job.release()
            for candidate in intake.unfetched:
                self.completion.report_skipped(candidate.display_path, Outcome.LEFT)
        self.control.raise_bug()

    async def forecast(self, discovery: Discovery) -> BatchForecast:
        """Estimate what `run` would send, without cutting and sending."""
        intake = await self._take_in(discovery)
        for each in intake.failures:
            self.completion.report_failure(each.display_path, each.audio_s, each.reason)
        to_send = [job for job in intake.jobs if job.state is RunState.DISCOVERED]
        to_send = self._without(await self.claims.dead_letters(), to_send)
        to_send.sort(key=lambda job: -job.billable_s)
        await self.planner.expect(to_send)
        jobs = [job for job in intake.jobs if job.state is not RunState.FAILED]
        return await self.planner.forecast(jobs)

    async def _take_in(self, discovery: Discovery, *, fetches: bool = True) -> IntakeResult:
        intake = await self.intake.take_in(discovery, fetches=fetches)
        copies = [each for job in intake.jobs for each in job.candidates]
        await self.completion.plan_outputs([*copies, *intake.unfetched])
        for job in intake.jobs:
            if not self.claims.adopt(job):
                self.completion.fail_changed(job)
        return intake

    async def _transcribe(self, jobs: list[RecordingJob], objects: ObjectIntake) -> None:
        """Process free jobs, then wait for those of other runs, or take them over."""
        jobs = await self._queued(jobs)
        jobs.sort(key=lambda job: (-job.priority, -job.billable_s))
        await self.planner.expect(jobs, objects.sizes)
        chunks = self.planner.announce()
        # While the first ones are cut.
        if chunks and not self.control.closed:
            self.planner.engine.prepare(min(chunks, self.control.lanes.lanes.limit))
        turns = [CutterTurn() for _ in jobs]
        turns += [CutterTurn(fetches=True) for _ in objects.sizes]
        ready = jobs
        while turns:
            cut = partial(self._cut, Backlog(self.claims.queue, ready), objects)
            steps = Steps(cut, self.chunks.process, self._complete, _urgency)
            await self.control.lanes.run(turns, steps)
            held = [job for job in [*jobs, *objects.jobs] if job.state is RunState.HELD_ELSEWHERE]
            if self.control.closed or not held:
                break
            ready = await self._take_over(held)
            turns = [CutterTurn() for _ in ready]
        if objects.jobs and self.claims.assigned is None:
            await self.completion.reconcile_ledger(objects.jobs)

    async def _queued(self, jobs: Sequence[RecordingJob]) -> list[RecordingJob]:
        waiting = await self._enqueue(jobs)
        for job in waiting:
            self.control.emit(events.JobQueued(job.display_path, job.billable_s))
        return waiting

    async def _next_object(
        self, objects: ObjectIntake, opened: contextlib.AsyncExitStack
    ) -> RecordingJob | None:
        job = await objects.next(opened)
        if job is None or not await self._queued([job]):
            return None
        await self.planner.expect_next(job, objects.next_sizes)
        return await Backlog(self.claims.queue, [job]).next()

    async def _order(self, jobs: list[RecordingJob], orders: OrderStore) -> list[PlacedOrder]:
        if self.control.closed:
            return []
        rows = await self.claims.enqueue(jobs)
        waiting = []
        for job in self._without(rows, jobs):
            job.advance(RunState.WAITING)
            status = rows[job.fingerprint.sha256].status
            if status is JobStatus.CANCELLED:
                self.completion.skip(job, Outcome.CANCELLED)
            elif status is JobStatus.PROCESSING and self.config.run.no_wait:
                job.advance(RunState.HELD_ELSEWHERE)
                self.completion.skip(job, Outcome.TAKEN)
            else:
                waiting.append(job)
        outputs, route = self.config.outputs, route_of(self.config.request)
        force = self.config.run.force
        wanted = {
            job: orders_of(job.id, job.candidates, job.billable_s, outputs, route, force=force)
            for job in waiting
        }
        known = await orders.place([each.order for of_job in wanted.values() for each in of_job])
        placed: list[PlacedOrder] = []
        for job, of_job in wanted.items():
            if any(each.order.id in known for each in of_job):
                placed += of_job
                self.completion.hand_over(job)
            else:
                self.completion.fail_elsewhere(job, "its job was purged; submit it again")
        for each in placed:
            self.control.emit(events.JobQueued(each.display_path, each.audio_s))
        return placed

    async def _enqueue(self, jobs: Sequence[RecordingJob]) -> list[RecordingJob]:
        """Queue jobs, report the dead letters among them, and return the others."""
        waiting = self._without(await self.claims.enqueue(jobs), jobs)
        for job in waiting:
            job.advance(RunState.WAITING)
        return waiting

    def _without(self, rows: Mapping[str, Job], jobs: Sequence[RecordingJob]) -> list[RecordingJob]:
        """Report the dead letters among `jobs`, and return the others."""
        for job in jobs:
            row = rows.get(job.fingerprint.sha256)
            if row is not None and row.is_dead_letter:
                self.completion.fail_dead_letter(job, row)
        return [job for job in jobs if job.state is not RunState.FAILED]

    async def _take_over(self, held: Sequence[RecordingJob]) -> list[RecordingJob]:
        """End recordings that others have ended, and return those that this run can process.

        It waits for them unless `no_wait` is set.
        """
        ids, queue = [job.id for job in held], self.claims.queue
        if self.config.run.no_wait:
            ready = await self._not_ended(held, await queue.free(ids))
            for job in () if ready else held:
                self.completion.skip(job, Outcome.TAKEN)
            return ready
        async for rows in queue.wait_until_free(ids, lambda: self.control.closed):
            if ready := await self._not_ended(held, rows):
                return ready
        return []

    async def _not_ended(
        self, held: Sequence[RecordingJob], rows: Mapping[str, Job | None]
    ) -> list[RecordingJob]:
        """Queue those of `rows` again that nobody has ended, and end the others."""
        ready = []
        for job in (job for job in held if job.id in rows):
            row = rows[job.id]
            if row is not None and row.status is JobStatus.CANCELLED:
                self.completion.skip(job, Outcome.CANCELLED)
            elif row is not None and row.status is JobStatus.FAILED:
                self.completion.fail_elsewhere(
                    job, row.error_message or "another run failed to transcribe it; run again"
                )
            elif not await self._is_written_elsewhere(job):
                # Released or purged, its holder died, or its transcript is gone again.
                reason = "another run gave it up" if row is not None else "its job was purged"
                self._announce_retry(job, reason)
                ready.append(job)
        return await self._enqueue(ready)

    async def _is_written_elsewhere(self, job: RecordingJob) -> bool:
        """Whether another run has stored its transcript; then its outputs are written."""
        if self.config.run.force or not await self.completion.is_stored(job):
            return False
        level = await self.completion.write_stored(job)
        if level is None:
            return False
        self.control.emit(events.CacheLookup(job.display_path, job.transcript_key, level))
        return True

    @contextlib.asynccontextmanager
    async def _cut(
        self, backlog: Backlog, objects: ObjectIntake, turn: CutterTurn
    ) -> AsyncIterator[NextChunk[ChunkWork]]:
        """Reserve a media worker while a recording is cut, if this run processes it."""
        async with contextlib.AsyncExitStack() as opened:
            next_chunk: NextChunk[ChunkWork] = _no_chunk
            with self.control.guard():
                turn.job = await (
                    self._next_object(objects, opened) if turn.fetches else backlog.next()
                )
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
        self.control.emit(events.JobStarted(job.display_path, job.id))
        return await opened.enter_async_context(self.planner.cutting(job))

    def _announce_retry(self, job: RecordingJob, reason: str) -> None:
        self.control.emit(events.JobRetryScheduled(job.display_path, job.retry_count, reason))

    async def _complete(self, turn: CutterTurn) -> None:
        if turn.job is not None:
            with self.control.guard(turn.job):
                await self.completion.complete_if_ready(turn.job)
