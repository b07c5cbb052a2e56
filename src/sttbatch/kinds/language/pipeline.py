"""LanguagePipeline: find transcripts, claim, ask, store, write: a task over recordings."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from msgspec.structs import replace

from sttbatch.core import events
from sttbatch.core.errors import ChunkError
from sttbatch.core.jobs import JobStatus
from sttbatch.core.language_models import ChatAnswer, Question, TokensSent
from sttbatch.core.orders import Assignment
from sttbatch.core.ports import OrderStore
from sttbatch.kinds.claims import dead_letter_reason
from sttbatch.kinds.language.asking import Asker, QuestionContext, sha256_of
from sttbatch.kinds.language.completion import TextCompletion
from sttbatch.kinds.language.spec import LanguageSpec
from sttbatch.kinds.language.spoken_text import RecordingText, SpokenText
from sttbatch.kinds.language.task import Ask, LanguageTask
from sttbatch.kinds.language.text_job import LanguageConfig, TextJob, jobs_of
from sttbatch.kinds.language.token_estimates import expected_tokens
from sttbatch.kinds.language.transcripts import Finding, TranscriptFinder
from sttbatch.kinds.ordering import ENDPOINT_ENGINE, PlacedOrder, orders_of, route_to
from sttbatch.kinds.report import Outcome
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.up_to_date import report_skipped
from sttbatch.processing.discovery import Discovery
from sttbatch.processing.scheduling.orchestrator import Lane

R = TypeVar("R")

NO_TRANSCRIPT = "it has no transcript; transcribe it first"

RESULT_VERSION = 1
"""Raising it makes all results anew, of answers that are stored."""

RECORDINGS_BESIDE_LANES = 1
"""So many more recordings than lanes are processed, as one waits for its answers in turn."""

STREAM = 0
"""Jobs about a transcript do not say of which audio stream it is."""


Transcribe = Callable[[Discovery], Awaitable[set[str]]]
"""Transcribes recordings; returns the display paths of those whose end it has reported."""


@dataclass(slots=True, eq=False)
class LanguagePipeline(Generic[R]):
    """One run of a task over recordings; each ends with an event.

    Args:
        earlier: what questions like these consumed, from which estimates are made.
        transcribe: makes missing transcripts; None: recordings without one fail.
        assigned: the only job of a worker's run, whose claim it holds.
    """

    task: LanguageTask[R]
    config: LanguageConfig
    transcripts: TranscriptFinder
    asker: Asker
    completion: TextCompletion[R]
    control: RunControl
    earlier: TokensSent | None = None
    transcribe: Transcribe | None = None
    assigned: Assignment | None = None
    _number: int = field(init=False)

    def __post_init__(self) -> None:
        self._number = next(self.control.lanes.lanes.batches)

    async def run(self, discovery: Discovery) -> None:
        """Run the task over discovered recordings."""
        jobs: list[TextJob] = []
        try:
            with self.control.guard():
                jobs = await self._take_in(discovery)
                await self._examine(jobs)
                await self._reconcile_ledger()
                await self._process(await self._queued([job for job in jobs if not job.is_ended]))
        finally:
            for job in jobs:
                with self.control.guard():
                    await self.completion.claims.release(job)
                self.completion.skip(job, Outcome.LEFT)
        self.control.raise_bug()

    async def submit(self, discovery: Discovery, orders: OrderStore) -> list[PlacedOrder]:
        """Queue discovered recordings for workers, with an order for the outputs of each copy.

        Those that are not ordered end with an event; outputs of stored results are written.
        """
        placed: list[PlacedOrder] = []
        with self.control.guard():
            found = await self._find(discovery)
            jobs = await self.completion.planned(found.texts)
            await self._examine(jobs)
            await self._reconcile_ledger()
            if self.config.recognition is None:
                self._report_missing(found.missing, set())
            else:
                # Workers transcribe it.
                jobs += jobs_of([each for each in found.missing if each.candidate.expected])
            for job in jobs:
                if not job.is_ended and not self.control.closed:
                    placed += await self._order(job, orders)
        self.control.raise_bug()
        return placed

    async def _order(self, job: TextJob, orders: OrderStore) -> list[PlacedOrder]:
        await self._enqueue(job)
        if job.is_ended:
            return []
        route = route_to(ENDPOINT_ENGINE, self.config.origin)
        outputs, force = self.config.outputs, self.config.force
        placed = orders_of(job.id, job.copies, job.audio_s, outputs, route, force=force)
        if not await orders.place([each.order for each in placed]):
            self.completion.report_failed(job, "its job was purged; submit it again")
            return []
        job.is_ended = True
        for each in placed:
            self.control.emit(events.JobQueued(each.display_path, each.audio_s))
        return [replace(each, how=self.task.how) for each in placed]

    async def _find(self, discovery: Discovery) -> Finding:
        """The texts of all recordings, without those that cannot be read, which are reported."""
        found = await self.transcripts.find(discovery)
        await report_skipped(discovery, self.completion.outputs.registry, self.control.emit)
        for display_path, reason in [*discovery.failures, *found.failures]:
            self.completion.report_failure(display_path, 0.0, reason)
        for candidate in found.left:
            self.completion.report_skipped(candidate.display_path, 0.0, Outcome.LEFT)
        return found

    async def _take_in(self, discovery: Discovery) -> list[TextJob]:
        """A job for each content that has a transcript, or gets one now; the others are reported.

        A worker's job holds its claim.
        """
        found = await self._find(discovery)
        texts, missing, reported = found.texts, found.missing, set[str]()
        if missing and self.transcribe is not None:
            candidates = [each.candidate for each in missing]
            with self.control.guard():
                reported = await self.transcribe(Discovery(candidates))
                if not self.control.closed:
                    again = await self.transcripts.find(Discovery(candidates))
                    texts, missing = [*texts, *again.texts], again.missing
        self._report_missing(missing, reported)
        jobs = await self.completion.planned(texts)
        assigned = self.assigned
        for job in jobs:
            if assigned is not None and job.text.sha256 == assigned.job.file_sha256:
                job.id, job.claim = assigned.job.id, assigned.claim
                job.priority = assigned.job.priority
        return jobs

    def _report_missing(self, missing: Sequence[RecordingText], reported: set[str]) -> None:
        """Report recordings without a transcript, but for those that are reported already."""
        for each in missing:
            path = each.candidate.display_path
            if not each.candidate.expected or path in reported:
                continue
            if self.control.closed:
                self.completion.report_skipped(path, 0.0, Outcome.LEFT)
            else:
                self.completion.report_failure(path, 0.0, NO_TRANSCRIPT)

    async def _examine(self, jobs: Sequence[TextJob]) -> None:
        """Write the outputs of jobs whose results are stored, and look at what the others need."""
        for job in jobs:
            if self.control.closed:
                return
            with self.control.guard(job):
                text = await self.transcripts.read(job.text)
                job.audio_s, job.result_key = text.transcript.duration_s, self.key(text)
                if not await self.completion.write_stored(job, text):
                    job.tokens = expected_tokens(self.task.expected(text), self.earlier).total
            await self.completion.end_failed(job)

    async def _reconcile_ledger(self) -> None:
        """End jobs of earlier runs that ended otherwise after their results were stored."""
        claims, done = self.completion.claims, self.completion.unclaimed
        if done and self.assigned is None:
            rows = await claims.queue.jobs.unfinished(STREAM, self._request_sha256())
            await claims.complete_done(rows, done)

    async def _queued(self, jobs: Sequence[TextJob]) -> list[TextJob]:
        """Those of `jobs` that this run may process, in their order, with rows in the queue."""
        # Concurrently, as each waits for the same commit.
        await asyncio.gather(*(self._enqueue(job) for job in jobs if job.claim is None))
        waiting = [job for job in jobs if not job.is_ended]
        for job in waiting:
            self.control.emit(events.JobQueued(job.display_path, job.audio_s))
        return sorted(waiting, key=lambda job: (-job.priority, -job.tokens))

    async def _enqueue(self, job: TextJob) -> None:
        config, options = self.config, self.task.options()
        spec = LanguageSpec.of(
            job.copies[0],
            job.text.sha256,
            config.origin,
            self.task.model,
            options,
            config.outputs,
            config.recognition,
        )
        row = await self.completion.claims.queue.jobs.enqueue(
            job.text.sha256,
            STREAM,
            self._request_sha256(),
            spec.to_job_spec(self.task.kind, job.tokens),
            config.priority,
            config.job_retries,
            revive=config.force,
        )
        job.id, job.priority = row.id, row.priority
        if row.status is JobStatus.CANCELLED:
            self.completion.skip(job, Outcome.CANCELLED)
        elif row.is_dead_letter:
            self.completion.report_failed(job, dead_letter_reason(row))

    async def _process(self, jobs: Sequence[TextJob]) -> None:
        turns = enumerate(jobs)

        async def work() -> None:
            for rank, job in turns:
                if self.control.closed:
                    return
                with self.control.guard(job):
                    await self._process_one(job, rank)
                await self.completion.end_failed(job)

        async with asyncio.TaskGroup() as running:
            for _ in range(self.control.lanes.lanes.limit + RECORDINGS_BESIDE_LANES):
                running.create_task(work())

    async def _process_one(self, job: TextJob, rank: int) -> None:
        while not await self.completion.claims.take(job):
            if not await self._wait_for_holder(job):
                return
        text = await self.transcripts.read(job.text)
        # Another run may have made it since this one looked.
        if await self.completion.write_stored(job, text):
            return
        self.control.emit(events.JobStarted(job.display_path, job.id, self.task.kind))
        try:
            result = await self.task.run(text, self._ask(job, rank))
        except ChunkError as error:
            job.fail(error)
            return
        await self.completion.complete(job, text, result)

    async def _wait_for_holder(self, job: TextJob) -> bool:
        """Whether to claim a job again, which another run is processing, or has ended."""
        if self.config.no_wait:
            self.completion.skip(job, Outcome.TAKEN)
            return False
        free = self.completion.claims.queue.wait_until_free([job.id], lambda: self.control.closed)
        async for rows in free:
            row = rows[job.id]
            if row is not None and row.status is JobStatus.FAILED:
                self.completion.report_failed(
                    job, row.error_message or "another run failed on it; run again"
                )
            elif row is not None and row.status is JobStatus.CANCELLED:
                self.completion.skip(job, Outcome.CANCELLED)
            elif not await self.completion.write_stored(job, await self.transcripts.read(job.text)):
                await self._enqueue(job)
            return not job.is_ended
        return False

    def _ask(self, job: TextJob, rank: int) -> Ask:
        """Asks questions of a job, each in a lane of its own."""
        assert job.claim is not None
        claim, numbers = job.claim, itertools.count()
        lanes = self.control.lanes

        async def ask(question: Question) -> ChatAnswer:
            index = next(numbers)
            lane = Lane(lanes.lanes, (-job.priority, self._number, rank, index), lanes)
            context = QuestionContext(job.display_path, job.text.sha256, claim, lane, index)
            answer, was_stored = await self.asker.ask(context, question)
            job.sent |= not was_stored
            return answer

        return ask

    def key(self, text: SpokenText) -> str:
        """The key of the result: a hash of everything that decides it."""
        facts = {"version": RESULT_VERSION, "text": text.digest(), **self._request()}
        return f"{self.task.kind}:{sha256_of(facts)}"

    def _request_sha256(self) -> str:
        """What identifies a job together with a recording's content.

        Rules decide what is read: two orders with different ones are two jobs.
        """
        rules = self.config.outputs.rules
        return sha256_of({**self._request(), **({"rules": rules} if rules else {})})

    def _request(self) -> Mapping[str, object]:
        config = self.config
        return {
            "kind": self.task.kind,
            "origin": config.origin,
            "model": self.task.model,
            "options": self.task.facts(),
        }
