"""One run of `transcribe`: what people and logs are told of it, and its exit code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.output_mode import OutputMode
from sttbatch.cli.console.progress import Display
from sttbatch.cli.console.stdio import StandardOutput, print_lines
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.effective_options import RunFlags, concurrency_of, run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.core.events import Event
from sttbatch.core.models import ConcurrencyLimit
from sttbatch.kinds.transcription.report import BatchForecast, Outcome
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.core.jobs import Job
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alert_rules import AlertRule
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.outputs.document import Document


class TranscribeSession:
    """Runs one `transcribe` from opening the ledger to its exit code.

    Args:
        key: the API key; None: the engine needs none, or nothing is sent.
        log: the event log; None: there is none.
    """

    def __init__(
        self,
        settings: Settings,
        flags: RunFlags,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._mode = mode
        self._output = StandardOutput()
        self._log = log
        # A log on standard error has the events already.
        self._display = Display(
            self._output, bars=mode.draws, quiet=mode.quiet, paths=not mode.text,
            verbose=not mode.logs_to_stderr,
        )  # fmt: skip
        listeners: list[Callable[[Event], None]] = [self._display]
        if log is not None:
            listeners.append(log)
        observe = self._print_text if mode.text else None
        self._run = BatchRun(
            settings, key, alerts=alerts, listeners=listeners, observe=observe, ends_process=True
        )
        self._report = self._run.report
        self._signals = Signals(self._say)

    @property
    def concurrency(self) -> ConcurrencyLimit:
        return concurrency_of(self._settings)

    async def transcribe_all(self, discovery: Discovery) -> int:
        """Transcribe the discovered recordings; returns the exit code."""
        config = run_config_of(self._settings, self._flags, to_stdout=self._mode.text)
        return await self._to_its_end(lambda: self.transcribe(discovery, config))

    async def run_job(self, job: Job) -> int:
        """Run a job by what its row says; returns the exit code."""
        from sttbatch.kinds.registry import job_kind

        return await self._to_its_end(lambda: job_kind(job.spec.kind).run(job.spec, self))

    async def transcribe(self, discovery: Discovery, config: RunConfig) -> None:
        """As `JobServices` has it: what becomes of it is in the report."""
        await self._run.transcribe(discovery, config, self._flags.priority, self._working())

    async def forecast(self, discovery: Discovery) -> int:
        """Print what `transcribe` would send; returns the exit code."""
        started_at = time.monotonic()
        forecast = BatchForecast((), 0.0, 0)
        config = run_config_of(self._settings, self._flags, to_stdout=self._mode.text)
        signals = self._signals
        with signals, signals.absorb_cancellation():
            forecast = await self._run.forecast(discovery, config)
        code = exit_code(self._report, signals.first)
        lines = run_summary.forecast_lines(forecast)
        if not self._mode.quiet and signals.first is None:
            print_lines(lines)
        if self._log is not None and self._logs_summary(code):
            facts = run_summary.summary_facts(self._report, time.monotonic() - started_at, code)
            self._log.summary(
                lines[-1], facts | {"would_send": run_summary.forecast_facts(forecast)}
            )
        return code

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """While requests are in flight, the first signal lets them finish."""
        self._signals.stop = self._run.stop
        with self._display, self._signals.absorb_cancellation():
            yield

    def _print_text(self, document: Document) -> None:
        """`-o -`: print a transcript in place of files."""
        from sttbatch.outputs.formats import FORMATS

        self._output.write(FORMATS[self._settings.formats[0]](document))

    async def _to_its_end(self, work: Callable[[], Awaitable[None]]) -> int:
        started_at, signals = time.monotonic(), self._signals
        with signals, signals.absorb_cancellation():
            await work()
        code = exit_code(self._report, signals.first)
        if code == OK and self._output.fault:
            code = SOME_FAILED
        self._report_end(time.monotonic() - started_at, code)
        return code

    def _report_end(self, wall_s: float, code: int) -> None:
        report, quiet = self._report, self._mode.quiet
        for each in report.recordings:
            for path in each.kept:
                self._run.warn(f"{path}: not replaced, edited or not ours; --overwrite replaces it")
        if report.fatal is not None:
            self._say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        if self._output.fault is not None:
            self._say(
                f"sttbatch: standard output cannot be written: {self._output.fault}; the "
                "transcripts are stored, run the same command again",
                important=True,
            )
        failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
        line = run_summary.summary_line(report, wall_s)
        self._say(line, important=failed and not quiet)
        if self._log is not None and self._logs_summary(code):
            self._log.summary(line, run_summary.summary_facts(report, wall_s, code))

    def _logs_summary(self, code: int) -> bool:
        """Whether the log gets a summary; a text log on standard error has it already."""
        if self._mode.logs_to_stderr:
            return self._mode.as_json and not (self._mode.quiet and code == OK)
        return True

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._mode.is_json:
            self._display.say(line, important=important)
