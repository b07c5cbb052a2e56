"""RunSession: the display, log, signals and exit code of one run."""

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


class Run(Protocol):
    """What runs: a `BatchRun`, or another one with a report."""

    report: BatchReport

    def stop(self) -> None: ...
    def warn(self, message: str) -> None: ...


class RunSession:
    """What the sessions of all runs share; a subclass sets `_run`, which has `listeners`.

    `done` is what is said of a recording that is done.
    """

    _run: Run

    def __init__(self, mode: OutputMode, log: EventLog | None, done: str = "transcribed") -> None:
        self._mode = mode
        self._output = StandardOutput()
        self._log = log
        # A log on standard error already has the events.
        self._display = Display(
            self._output, bars=mode.draws, quiet=mode.quiet, paths=not mode.text,
            verbose=not mode.logs_to_stderr, done=done,
        )  # fmt: skip
        self._listeners: list[Callable[[Event], None]] = [self._display]
        if log is not None:
            self._listeners.append(log)
        self._signals = Signals(self._say)

    def _summary(self, wall_s: float, code: int) -> tuple[str, dict[str, Any]]:
        """The last line of a run, and its facts for the log."""
        report = self._run.report
        return (
            run_summary.summary_line(report, wall_s),
            run_summary.summary_facts(report, wall_s, code),
        )

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
        self._report_end(time.monotonic() - started_at, code)
        return code

    def _report_end(self, wall_s: float, code: int) -> None:
        report, quiet = self._run.report, self._mode.quiet
        for recording in report.recordings:
            for path in recording.kept:
                self._run.warn(f"{path}: not replaced, edited or not ours; --overwrite replaces it")
        if report.fatal is not None:
            self._say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        if self._output.fault is not None:
            self._say(
                f"sttbatch: standard output cannot be written: {self._output.fault}; the "
                "results are stored, run the same command again",
                important=True,
            )
        failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
        line, facts = self._summary(wall_s, code)
        self._say(line, important=failed and not quiet)
        self._log_summary(line, facts, code)

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
