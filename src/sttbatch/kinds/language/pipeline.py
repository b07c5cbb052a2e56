"""LanguagePipeline: find transcripts, claim, ask, store, write: a task over recordings."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from sttbatch.core import events
from sttbatch.core.errors import ChunkError, RecordingError, SttbatchError, is_hindrance
from sttbatch.core.jobs import Claim, JobPriority, JobStatus
from sttbatch.core.language_models import ChatAnswer, Question, TokensSent
from sttbatch.core.locations import location
from sttbatch.core.options import OutputOptions
from sttbatch.core.orders import Assignment
from sttbatch.kinds.claims import RunClaims, dead_letter_reason
from sttbatch.kinds.language.asking import Asker, QuestionContext, sha256_of
from sttbatch.kinds.language.spec import LanguageSpec
from sttbatch.kinds.language.spoken_text import SpokenText, StoredText
from sttbatch.kinds.language.task import Ask, LanguageTask
from sttbatch.kinds.language.token_estimates import expected_tokens
from sttbatch.kinds.language.transcripts import TranscriptFinder
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.report import SKIPPED, Outcome
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.discovery import Candidate, Discovery
from sttbatch.processing.scheduling.orchestrator import Lane

R = TypeVar("R")

RESULT_VERSION = 1
"""Raising it makes all results anew, of answers that are stored."""

RECORDINGS_BESIDE_LANES = 1
"""So many more recordings than lanes are processed, as one waits for its answers in turn."""

STREAM = 0
"""Jobs about a transcript do not say of which audio stream it is."""


@dataclass(slots=True, eq=False)
class TextJob:
    """A recording's text and its state in the run; copies of the same content are one job.

    Attributes:
        result_key: of what the task makes of it.
        audio_s: the recording's length.
        sent: whether a question had to be sent for it.
        is_ended: it is reported.
    """

    copies: list[Candidate]
    stored: StoredText
    result_key: str = ""
    audio_s: float = 0.0
    tokens: float = 0.0
    id: str = ""
    priority: JobPriority = JobPriority.MEDIUM
    claim: Claim | None = None
    error: SttbatchError | None = None
    hindered: bool = False
    sent: bool = False
    is_ended: bool = False

    def fail(self, error: SttbatchError) -> None:
        if self.error is None:
            self.error = error
            self.hindered |= is_hindrance(error)

    def interrupt(self) -> None:
        """Nothing is to be noted: what has no error and has not ended is left."""

    @property
    def display_path(self) -> str:
        return self.copies[0].display_path


class LanguageConfig(Struct, frozen=True):
    """The options of one run over transcripts.

    Attributes:
        origin: of the server of language models.
        outputs: their formats are those of the task.
        force: ask again what is stored.
        no_wait: skip what another run is processing.
        job_retries: how many later runs try a recording again that failed.
    """

    origin: str
    outputs: OutputOptions
    force: bool = False
    no_wait: bool = False
    job_retries: int = 3
    priority: JobPriority = JobPriority.MEDIUM


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
    claims: RunClaims
    outputs: OutputWriter
    control: RunControl
    emit: events.Emit
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
                await self._process(await self._queued([job for job in jobs if not job.is_ended]))
        finally:
            for job in jobs:
                with self.control.guard():
                    await self.claims.release(job)
                self._skip(job, Outcome.LEFT)
        self.control.raise_bug()

    async def _take_in(self, discovery: Discovery) -> list[TextJob]:
        """A job for each content that has a transcript, or gets one now; the others are reported.

        A worker's job holds its claim.
        """
        for display_path, reason in discovery.failures:
            self._report_failure(display_path, 0.0, reason)
        jobs: dict[str, TextJob] = {}
        for stored in await self._texts(discovery.candidates):
            job = jobs.setdefault(stored.sha256, TextJob([], stored))
            job.copies.append(stored.candidate)
        assigned = self.assigned
        if assigned is not None and assigned.job.file_sha256 in jobs:
            job = jobs[assigned.job.file_sha256]
            job.id, job.claim = assigned.job.id, assigned.claim
        for job in jobs.values():
            by_options: dict[OutputOptions, list[Recording]] = {}
            for copy in job.copies:
                recording = Recording(copy.path, location(copy.root))
                by_options.setdefault(self._outputs_of(copy), []).append(recording)
            for options, recordings in by_options.items():
                await self.outputs.plan(recordings, options)
        return list(jobs.values())

    async def _texts(self, candidates: Sequence[Candidate]) -> list[StoredText]:
        found = await self.transcripts.find(candidates)
        reported: set[str] = set()
        missing = found.missing
        if missing and self.transcribe is not None and not self.control.closed:
            reported = await self.transcribe(Discovery(missing))
            again = await self.transcripts.find(missing)
            found.texts.extend(again.texts)
            missing = again.missing
        for display_path, reason in found.failures:
            self._report_failure(display_path, 0.0, reason)
        if self.control.closed:
            found.left.extend(missing)
        else:
            for candidate in missing:
                if candidate.expected and candidate.display_path not in reported:
                    self._report_failure(
                        candidate.display_path, 0.0, "it has no transcript; transcribe it first"
                    )
        for candidate in found.left:
            self._report_skipped(candidate.display_path, 0.0, Outcome.LEFT)
        return found.texts

    async def _examine(self, jobs: Sequence[TextJob]) -> None:
        """Write the outputs of jobs whose results are stored, and look at what the others need."""
        for job in jobs:
            if self.control.closed:
                return
            with self.control.guard(job):
                text = await self.transcripts.read(job.stored)
                job.audio_s, job.result_key = text.transcript.duration_s, self.key(text)
                if not await self._write_stored(job, text):
                    job.tokens = expected_tokens(self.task.expected(text), self.earlier).total
            await self._end_failed(job)

    async def _queued(self, jobs: Sequence[TextJob]) -> list[TextJob]:
        """Those of `jobs` that this run may process, in their order, with rows in the queue."""
        for job in jobs:
            if job.claim is None:
                await self._enqueue(job)
        waiting = [job for job in jobs if not job.is_ended]
        for job in waiting:
            self.emit(events.JobQueued(job.display_path, job.audio_s))
        return sorted(waiting, key=lambda job: (-job.priority, -job.tokens))

    async def _enqueue(self, job: TextJob) -> None:
        config, options = self.config, self.task.options()
        spec = LanguageSpec.of(
            job.copies[0],
            job.stored.sha256,
            config.origin,
            self.task.model,
            options,
            config.outputs,
        )
        row = await self.claims.queue.jobs.enqueue(
            job.stored.sha256,
            STREAM,
            self._request_sha256(),
            spec.to_job_spec(self.task.kind, job.tokens),
            config.priority,
            config.job_retries,
            revive=config.force,
        )
        job.id, job.priority = row.id, row.priority
        if row.status is JobStatus.CANCELLED:
            self._skip(job, Outcome.CANCELLED)
        elif row.is_dead_letter:
            self._report_failed(job, dead_letter_reason(row))

    async def _process(self, jobs: Sequence[TextJob]) -> None:
        turns = enumerate(jobs)

        async def work() -> None:
            for rank, job in turns:
                if self.control.closed:
                    return
                with self.control.guard(job):
                    await self._process_one(job, rank)
                await self._end_failed(job)

        async with asyncio.TaskGroup() as running:
            for _ in range(self.control.lanes.lanes.limit + RECORDINGS_BESIDE_LANES):
                running.create_task(work())

    async def _process_one(self, job: TextJob, rank: int) -> None:
        while not await self.claims.take(job):
            if not await self._wait_for_holder(job):
                return
        text = await self.transcripts.read(job.stored)
        # Another run may have made it since this one looked.
        if await self._write_stored(job, text):
            return
        self.emit(events.JobStarted(job.display_path, job.id))
        try:
            result = await self.task.run(text, self._ask(job, rank))
        except ChunkError as error:
            job.fail(error)
            return
        reason = self.task.shortcoming(text, result)
        if reason is None:
            stored = msgspec.json.encode(result)
            await self.asker.pay_once.cache.put(
                job.result_key, stored, self.task.model, job.stored.sha256
            )
        await self._write(job, text, result, reason)

    async def _wait_for_holder(self, job: TextJob) -> bool:
        """Whether to claim a job again, which another run is processing, or has ended."""
        if self.config.no_wait:
            self._skip(job, Outcome.TAKEN)
            return False
        free = self.claims.queue.wait_until_free([job.id], lambda: self.control.closed)
        async for rows in free:
            row = rows[job.id]
            if row is not None and row.status is JobStatus.FAILED:
                self._report_failed(job, row.error_message or "another run failed on it")
            elif row is not None and row.status is JobStatus.CANCELLED:
                self._skip(job, Outcome.CANCELLED)
            elif not await self._write_stored(job, await self.transcripts.read(job.stored)):
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
            context = QuestionContext(job.display_path, job.stored.sha256, claim, lane, index)
            answer, was_stored = await self.asker.ask(context, question)
            job.sent |= not was_stored
            return answer

        return ask

    async def _write_stored(self, job: TextJob, text: SpokenText) -> bool:
        """End a job whose result is stored; False: it is not, or is to be made again."""
        if self.config.force:
            return False
        hit = await self.asker.pay_once.cache.get(job.result_key, job.stored.sha256)
        if hit is None:
            return False
        try:
            result = msgspec.json.decode(hit.value, type=self.task.result)
        except msgspec.DecodeError:
            return False
        await self._write(job, text, result, None)
        return True

    async def _write(
        self, job: TextJob, text: SpokenText, result: R, shortcoming: str | None
    ) -> None:
        """Write the outputs of every copy, and end the job."""
        unwritten = None
        for copy in job.copies:
            path = copy.display_path
            options = self._outputs_of(copy)
            contents = await asyncio.to_thread(self.task.contents, path, text, result, options)
            reason = shortcoming
            try:
                written = await self.outputs.write_contents(copy.path, options, contents)
                outputs, kept = map(str, written.paths), map(str, written.untouched)
                self.emit(events.FileProcessingCompleted(path, tuple(outputs), tuple(kept)))
            except RecordingError as error:
                job.hindered |= is_hindrance(error)
                reason = str(error)
                # What cannot be written for one order must not fail the job, and so all others.
                unwritten = unwritten if self.assigned is not None else reason
            if reason is None:
                self.emit(events.JobCompleted(path, job.audio_s, not job.sent))
            else:
                self._report_failure(path, job.audio_s, reason)
        job.is_ended = True
        await self._end_claim(job, shortcoming or unwritten)

    async def _end_failed(self, job: TextJob) -> None:
        if job.error is not None and not job.is_ended:
            self._report_failed(job, str(job.error))
            await self._end_claim(job, str(job.error))

    async def _end_claim(self, job: TextJob, reason: str | None) -> None:
        with self.control.guard():
            if reason is None:
                await self.claims.complete(job)
            elif job.hindered:
                await self.claims.release(job, reason)
            else:
                await self.claims.fail(job, reason)

    def _report_failed(self, job: TextJob, reason: str) -> None:
        job.is_ended = True
        for copy in job.copies:
            self._report_failure(copy.display_path, job.audio_s, reason)

    def _skip(self, job: TextJob, outcome: Outcome) -> None:
        if not job.is_ended:
            job.is_ended = True
            for copy in job.copies:
                self._report_skipped(copy.display_path, job.audio_s, outcome)

    def _report_failure(self, display_path: str, audio_s: float, reason: str) -> None:
        self.emit(events.JobFailed(display_path, audio_s, reason))
        self.control.recording_failed()

    def _report_skipped(self, display_path: str, audio_s: float, outcome: Outcome) -> None:
        self.emit(events.JobSkipped(display_path, audio_s, outcome, SKIPPED[outcome]))

    def _outputs_of(self, copy: Candidate) -> OutputOptions:
        return copy.outputs or self.config.outputs

    def key(self, text: SpokenText) -> str:
        """The key of the result: a hash of everything that decides it."""
        facts = {"version": RESULT_VERSION, "text": text.digest(), **self._request()}
        return f"{self.task.kind}:{sha256_of(facts)}"

    def _request_sha256(self) -> str:
        """What identifies a job together with a recording's content."""
        return sha256_of(self._request())

    def _request(self) -> Mapping[str, object]:
        config = self.config
        return {
            "kind": self.task.kind,
            "origin": config.origin,
            "model": self.task.model,
            "options": self.task.options(),
        }
