"""RunSession: the display, log, signals and exit code of one run, or of several in turn."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.progress import Display, OutputMode
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.core.events import Event
from sttbatch.kinds.report import BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.core.jobs import JobSpec
    from sttbatch.monitoring.logs import EventLog
    from sttbatch.outputs.document import Document


class Run(Protocol):
    """What runs: a `BatchRun`, or another one with a report."""

    report: BatchReport

    def stop(self) -> None: ...
    def warn(self, message: str) -> None: ...


class Session:
    """What sessions share that report runs."""

    def __init__(self, mode: OutputMode, log: EventLog | None) -> None:
        self._mode = mode
        self._output = StandardOutput()
        self._log = log
        # A log on standard error already has the events.
        self._display = Display(
            self._output, bars=mode.draws, quiet=mode.quiet, paths=not mode.text,
            verbose=not mode.logs_to_stderr,
        )  # fmt: skip
        self._listeners: list[Callable[[Event], None]] = [self._display]
        if log is not None:
            self._listeners.append(log)
        self._signals = Signals(self._say)

    def _summary(self, report: BatchReport, wall_s: float, code: int) -> tuple[str, dict[str, Any]]:
        """The last line of a run, and its facts for the log."""
        return (
            run_summary.summary_line(report, wall_s),
            run_summary.summary_facts(report, wall_s, code),
        )

    def _report_run(
        self, report: BatchReport, warn: Callable[[str], None], wall_s: float, code: int
    ) -> None:
        """Say how a run ended."""
        for recording in report.recordings:
            for path in recording.kept:
                warn(
                    f"{path}: not replaced: edited, or not written by sttbatch; "
                    "--overwrite replaces it"
                )
        if report.fatal is not None:
            self._say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        self._report_fault()
        failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
        line, facts = self._summary(report, wall_s, code)
        self._say(line, important=failed and not self._mode.quiet)
        self._log_summary(line, facts, code)

    async def _print(self, form: str, document: Document) -> None:
        """`-o -`: print a transcript in place of files."""
        from sttbatch.outputs.formats import FORMATS

        for piece in FORMATS[form](document):
            self._output.write(piece)

    def _report_fault(self) -> None:
        if self._output.fault is not None:
            self._say(
                f"sttbatch: standard output cannot be written: {self._output.fault}; the "
                "results are stored, run the same command again",
                important=True,
            )

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


class RunSession(Session):
    """What the sessions of single runs share; a subclass sets `_run`, which has `listeners`."""

    _run: Run

    async def run_job(self, spec: JobSpec, queue: Callable[[], Awaitable[object]]) -> int:
        """Run a job by its spec; returns the exit code. `queue` queues it again after the check.

        The session has the services of the job's kind.
        """
        from sttbatch.kinds.registry import job_kind

        async def work() -> None:
            kind = job_kind(spec.kind)
            await kind.check(spec, self)
            await queue()
            await kind.run(spec, self)

        return await self._run_to_end(work)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """While requests are in flight, the first signal lets them finish."""
        self._signals.stop = self._run.stop
        with self._display, self._signals.absorb_cancellation():
            yield

    async def _run_to_end(self, work: Callable[[], Awaitable[None]]) -> int:
        started_at, signals = time.monotonic(), self._signals
        with signals, signals.absorb_cancellation():
            await work()
        code = exit_code(self._run.report, signals.first)
        if code == OK and self._output.fault:
            code = SOME_FAILED
        self._report_run(self._run.report, self._run.warn, time.monotonic() - started_at, code)
        return code
