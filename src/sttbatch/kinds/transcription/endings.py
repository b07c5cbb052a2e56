"""How recordings end: written, failed or left, each reported once and told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from sttbatch.core import events
from sttbatch.core.errors import RecordingError
from sttbatch.kinds.transcription.recording_job import Job, shortcomings
from sttbatch.kinds.transcription.report import BatchReport, Outcome, RecordingReport
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.outputs.document import Document
from sttbatch.outputs.output_names import OutputPlan
from sttbatch.outputs.writer import Written
from sttbatch.outputs.written_outputs import WrittenOutputs, made_from
from sttbatch.processing.discovery import Candidate

UNDONE = "the run ended before it was done"


class Writer(Protocol):
    """Where transcripts go: files, or standard output."""

    async def write(self, document: Document, plan: OutputPlan) -> Written: ...


class Endings:
    """The ends of one run's recordings.

    Args:
        up_to_date: remembers what was written, for runs to come; None: nothing is written to disk.
        on_failure: called after each recording that failed.
    """

    def __init__(
        self,
        choices: RunConfig,
        writer: Writer,
        up_to_date: WrittenOutputs | None,
        emit: events.Emit,
        report: BatchReport,
        on_failure: Callable[[], None],
    ) -> None:
        self._choices = choices
        self._writer = writer
        self._up_to_date = up_to_date
        self._emit = emit
        self._report = report
        self._on_failure = on_failure
        self.plans: Mapping[Path, OutputPlan] = {}

    async def write(self, job: Job) -> str | None:
        """Bring the outputs of every copy up to date; why it failed all the same, if it did."""
        assert job.transcript is not None
        reason = shortcomings(job.transcript)
        unwritten: str | None = None
        self._report.gaps.update(gap.reason for gap in job.transcript.gaps)
        for candidate in job.candidates[job.told :]:
            document = Document(
                candidate.display_path,
                job.fingerprint.sha256,
                self._choices.request.model,
                self._choices.request.engine,
                job.transcript,
                self._choices.outputs,
            )
            try:
                written = await self._writer.write(document, self.plans[candidate.path])
            except RecordingError as error:
                job.told += 1
                unwritten = str(error)
                self.failed(candidate.display_path, job.transcript.duration_s, unwritten)
                continue
            if reason is None and self._up_to_date is not None:
                await self._up_to_date.remember(
                    self.plans[candidate.path],
                    written.paths,
                    made_from(job.transcript_key, candidate.display_path, self._choices.outputs),
                    job.transcript.duration_s,
                )
            outputs = tuple(str(path) for path in written.paths)
            self._emit(events.FileProcessingCompleted(candidate.display_path, outputs))
            report = RecordingReport(
                candidate.display_path,
                Outcome.FAILED if reason else Outcome.DONE,
                job.transcript.duration_s,
                job.cached,
                reason or "",
                outputs,
                tuple(str(path) for path in written.untouched),
            )
            job.told += 1
            self.add(report)
        return reason or unwritten

    def fail(self, job: Job, reason: str) -> None:
        """Every copy of it that has not come to another end."""
        job.finished = True
        for candidate in self._untold(job):
            self.failed(candidate.display_path, job.declared_s, reason)

    def end(self, job: Job, outcome: Outcome, reason: str) -> None:
        """LEFT or TAKEN: nothing that failed."""
        job.finished = True
        for candidate in self._untold(job):
            self._report.recordings.append(
                RecordingReport(candidate.display_path, outcome, job.declared_s, reason=reason)
            )

    def left(self, display_path: str) -> None:
        """The run ended before anything was known of it."""
        self._report.recordings.append(RecordingReport(display_path, Outcome.LEFT, reason=UNDONE))

    def _untold(self, job: Job) -> list[Candidate]:
        untold, job.told = job.candidates[job.told :], len(job.candidates)
        return untold

    def failed(self, display_path: str, audio_s: float, reason: str) -> None:
        self.add(RecordingReport(display_path, Outcome.FAILED, audio_s, reason=reason))

    def add(self, report: RecordingReport) -> None:
        """DONE or FAILED."""
        self._report.recordings.append(report)
        if report.outcome is Outcome.DONE:
            self._emit(events.JobCompleted(report.display_path, report.audio_s, report.cached))
            return
        self._emit(events.JobFailed(report.display_path, report.audio_s, report.reason))
        self._on_failure()
