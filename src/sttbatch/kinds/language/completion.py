"""TextCompletion: stores results, writes outputs, and ends jobs, each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import msgspec

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core import events
from sttbatch.core.errors import RecordingError, is_hindrance
from sttbatch.core.locations import location
from sttbatch.core.options import OutputOptions
from sttbatch.kinds.claims import RunClaims
from sttbatch.kinds.language.spoken_text import RecordingText, SpokenText
from sttbatch.kinds.language.task import LanguageTask
from sttbatch.kinds.language.text_job import LanguageConfig, TextJob, jobs_of
from sttbatch.kinds.report import SKIPPED, Outcome
from sttbatch.kinds.run_control import RunControl
from sttbatch.outputs.output_names import Recording
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.discovery import Candidate

R = TypeVar("R")


@dataclass(slots=True, eq=False)
class TextCompletion(Generic[R]):
    """Ends the recordings of one run of a task, and their jobs in the ledger.

    `is_ordered`: it is a worker's run, for the orders of one job.
    """

    task: LanguageTask[R]
    config: LanguageConfig
    cache: MultiLevelCache
    claims: RunClaims
    outputs: OutputWriter
    control: RunControl
    emit: events.Emit
    is_ordered: bool = False
    unclaimed: set[str] = field(default_factory=set, init=False)
    """Contents of recordings that are done without a claim, as their results were stored."""

    async def planned(self, texts: Sequence[RecordingText]) -> list[TextJob]:
        """The jobs of texts, the names of whose outputs are planned before any is written."""
        by_options: dict[OutputOptions, list[Recording]] = {}
        for each in texts:
            recording = Recording(each.candidate.path, location(each.candidate.root))
            by_options.setdefault(self._outputs_of(each.candidate), []).append(recording)
        for options, recordings in by_options.items():
            await self.outputs.plan(recordings, options)
        return jobs_of(texts)

    async def write_stored(self, job: TextJob, text: SpokenText) -> bool:
        """End a job whose result is stored; False: it is not, or is to be made again."""
        if self.config.force:
            return False
        hit = await self.cache.get(job.result_key, job.text.sha256)
        if hit is None:
            return False
        try:
            result = msgspec.json.decode(hit.value, type=self.task.result)
        except msgspec.DecodeError:
            return False
        await self._write(job, text, result, None)
        return True

    async def complete(self, job: TextJob, text: SpokenText, result: R) -> None:
        """Store a result if it lacks nothing, write it, and end the job."""
        shortcoming = self.task.shortcoming(text, result)
        if shortcoming is None:
            stored = msgspec.json.encode(result)
            await self.cache.put(job.result_key, stored, self.task.model, job.text.sha256)
            await self._write(job, text, result, None)
            return
        job.hindered |= shortcoming.is_hindered
        await self._write(job, text, result, shortcoming.reason)

    async def end_failed(self, job: TextJob) -> None:
        if job.error is not None and not job.is_ended:
            self.report_failed(job, str(job.error))
            await self._end_claim(job, str(job.error))

    async def _end_claim(self, job: TextJob, reason: str | None) -> None:
        with self.control.guard():
            if reason is None and job.claim is None:
                self.unclaimed.add(job.text.sha256)
            elif reason is None:
                await self.claims.complete(job)
            elif job.hindered:
                await self.claims.release(job, reason)
            else:
                await self.claims.fail(job, reason)

    def report_failed(self, job: TextJob, reason: str) -> None:
        job.is_ended = True
        for copy in job.copies:
            self.report_failure(copy.display_path, job.audio_s, reason)

    def skip(self, job: TextJob, outcome: Outcome) -> None:
        if not job.is_ended:
            job.is_ended = True
            for copy in job.copies:
                self.report_skipped(copy.display_path, job.audio_s, outcome)

    def report_failure(self, display_path: str, audio_s: float, reason: str) -> None:
        self.emit(events.JobFailed(display_path, audio_s, reason))
        self.control.recording_failed()

    def report_skipped(self, display_path: str, audio_s: float, outcome: Outcome) -> None:
        self.emit(events.JobSkipped(display_path, audio_s, outcome, SKIPPED[outcome]))

    def _outputs_of(self, copy: Candidate) -> OutputOptions:
        return copy.outputs or self.config.outputs

    async def _write(
        self, job: TextJob, text: SpokenText, result: R, shortcoming: str | None
    ) -> None:
        """Write the outputs of every copy, and end the job."""
        unwritten, left_out = None, self.task.left_out(result)
        for copy in job.copies:
            path = copy.display_path
            options = self._outputs_of(copy)
            link = self.outputs.link(copy.path, options)
            contents = partial(self.task.contents, path, text, result, options, link)
            reason, is_left = shortcoming, False
            try:
                written = await self.outputs.write_contents(copy.path, options, contents)
                outputs, kept = map(str, written.paths), map(str, written.untouched)
                self.emit(
                    events.FileProcessingCompleted(path, tuple(outputs), tuple(kept), (), left_out)
                )
            except RecordingError as error:
                is_left = self.is_ordered and is_hindrance(error)
                job.hindered |= is_hindrance(error)
                reason = str(error)
                # What cannot be written for one order must not fail the job, and so all others.
                unwritten = unwritten if self.is_ordered else reason
            if reason is None:
                self.emit(events.JobCompleted(path, job.audio_s, not job.sent, self.task.how))
            elif is_left:
                # Its order stays open, and may be fulfilled once there is space again.
                self.emit(events.Warned(path, reason))
                self.report_skipped(path, job.audio_s, Outcome.LEFT)
            else:
                self.report_failure(path, job.audio_s, reason)
        job.is_ended = True
        await self._end_claim(job, shortcoming or unwritten)
