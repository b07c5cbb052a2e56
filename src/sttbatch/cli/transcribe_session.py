"""TranscribeSession: one run of `transcribe`, its display, log and exit code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.progress import Display, OutputMode
from sttbatch.cli.console.stdio import StandardOutput, print_lines
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.telemetry import exported_run
from sttbatch.core.events import Event
from sttbatch.kinds.transcription.report import BatchForecast, Outcome
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.core.jobs import JobSpec
    from sttbatch.core.locations import FileStatus, Location
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.outputs.document import Document


class TranscribeSession:
    """Runs one `transcribe` from opening the ledger to its exit code.

    `key` is the API key; None: the engine needs none, or nothing is sent.
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
        self._priority = flags.priority
        self.config = run_config_of(settings, flags, to_stdout=mode.text)
        self._mode = mode
        self._output = StandardOutput()
        self._log = log
        # A log on standard error already has the events.
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

    async def transcribe_all(self, discovery: Discovery) -> int:
        """Transcribe the discovered recordings; returns the exit code."""
        return await self._run_to_end(lambda: self.transcribe(discovery, self.config))

    async def run_job(self, spec: JobSpec, queue: Callable[[], Awaitable[object]]) -> int:
        """Run a job by its spec; returns the exit code. `queue` queues it again after the check."""
        from sttbatch.kinds.registry import job_kind

        async def work() -> None:
            kind = job_kind(spec.kind)
            await kind.check(spec, self)
            await queue()
            await kind.run(spec, self)

        return await self._run_to_end(work)

    async def status_of(self, path: Location) -> FileStatus:
        return await self._run.status_of(path)

    async def content_of(self, path: Location) -> str:
        return await self._run.content_of(path)

    async def transcribe(self, discovery: Discovery, config: RunConfig) -> None:
        """As `TranscriptionServices.transcribe`; the result is in the report."""
        async with exported_run(self._run, self._settings):
            await self._run.transcribe(discovery, config, self._priority, self._working())

    async def forecast(self, discovery: Discovery) -> int:
        """Print what `transcribe` would send; returns the exit code."""
        started_at = time.monotonic()
        forecast = BatchForecast((), 0.0, 0)
        signals = self._signals
        with signals, signals.absorb_cancellation():
            forecast = await self._run.forecast(discovery, self.config)
        code = exit_code(self._report, signals.first)
        lines = run_summary.forecast_lines(forecast)
        if not self._mode.quiet and signals.first is None:
            print_lines(lines)
        facts = run_summary.summary_facts(self._report, time.monotonic() - started_at, code)
        facts["would_send"] = run_summary.forecast_facts(forecast)
        self._log_summary(lines[-1], facts, code)
        return code

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """While requests are in flight, the first signal lets them finish."""
        self._signals.stop = self._run.stop
        with self._display, self._signals.absorb_cancellation():
            yield

    async def _print_text(self, document: Document) -> None:
        """`-o -`: print a transcript in place of files."""
        from sttbatch.outputs.formats import FORMATS

        self._output.write(FORMATS[self._settings.formats[0]](document))

    async def _run_to_end(self, work: Callable[[], Awaitable[None]]) -> int:
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
        for recording in report.recordings:
            for path in recording.kept:
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
        self._log_summary(line, run_summary.summary_facts(report, wall_s, code), code)

    def _log_summary(self, line: str, facts: Mapping[str, Any], code: int) -> None:
        """Log the summary, unless it is already on standard error, or the run is quiet."""
        mode = self._mode
        if mode.logs_to_stderr and (not mode.as_json or (mode.quiet and code == OK)):
            return
        if self._log is not None:
            self._log.summary(line, facts)

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._mode.is_json:
            self._display.say(line, important=important)
