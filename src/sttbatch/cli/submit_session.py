"""SubmitSession: one run of `submit`, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sttbatch.cli.console.progress import Display, OutputMode
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import opened_stores
from sttbatch.core.events import Event, JobQueued
from sttbatch.core.jobs import Worker
from sttbatch.kinds.report import BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.kinds.ordering import PlacedOrder
    from sttbatch.monitoring.logs import EventLog

PROGRESS_S = 10.0
"""Seconds between the lines that a terminal shows while it waits."""


class SubmittingRun(Protocol):
    """What queues recordings: a `BatchRun` or a `LanguageBatch`."""

    report: BatchReport

    def stop(self) -> None: ...
    def emit(self, event: Event) -> None: ...


RunT = TypeVar("RunT", bound=SubmittingRun)


class SubmitSession(Generic[RunT]):
    """Queues recordings, and waits for the workers if that is wanted.

    `new_run` makes what queues them, with its listeners.
    """

    def __init__(
        self,
        settings: Settings,
        mode: OutputMode,
        log: EventLog | None,
        new_run: Callable[[Sequence[Callable[[Event], None]]], RunT],
    ) -> None:
        self._settings = settings
        self._mode = mode
        self._log = log
        self._output = StandardOutput()
        self._display = Display(
            self._output, bars=mode.draws, quiet=mode.quiet, paths=True,
            verbose=not mode.logs_to_stderr,
        )  # fmt: skip
        self._run = new_run([self._display] if log is None else [self._display, log])
        self._placed: list[PlacedOrder] = []
        # What was queued; None: it is not waited for.
        self._awaited: dict[str, Any] | None = None
        self._told_at = time.monotonic()

    async def submit(
        self, place: Callable[[RunT], Awaitable[list[PlacedOrder]]], *, wait: bool
    ) -> int:
        """Queue what `place` orders; returns the exit code."""
        started_at, signals = time.monotonic(), Signals(self._say)
        with signals, signals.absorb_cancellation():
            signals.stop = self._run.stop
            self._placed = await place(self._run)
            # From now on a signal ends this process, and no work.
            signals.stop = None
            if signals.first is None and wait and self._placed:
                self._say(self._queued_line())
                self._awaited = self._facts()
                await self._wait()
        code = exit_code(self._run.report, signals.first)
        if code == OK and self._output.fault:
            code = SOME_FAILED
        self._report_end(time.monotonic() - started_at, code)
        return code

    async def _wait(self) -> None:
        from sttbatch.kinds.order_watch import watch_orders

        with opened_stores(self._settings) as stores, self._display:
            for each in self._placed:
                # The log has it already, and the display has just begun.
                self._display(JobQueued(each.display_path, each.audio_s))
            await watch_orders(
                stores.orders, stores.workers, self._placed, self._run.emit, self._show
            )

    def _show(self, pending: int, workers: Sequence[Worker]) -> None:
        """Show on a terminal what workers are at."""
        if not self._mode.draws or time.monotonic() - self._told_at < PROGRESS_S:
            return
        self._told_at = time.monotonic()
        busy = sum(worker.load.busy_lanes for worker in workers)
        lanes = sum(worker.load.lanes for worker in workers)
        done = len(self._placed) - pending
        self._say(
            f"{done} of {len(self._placed)} done; {counted(len(workers), 'worker')}, "
            f"{busy} of {lanes} lanes busy"
        )

    def _queued_line(self) -> str:
        """The line that says what was queued."""
        facts, report = self._facts(), self._run.report
        hours = facts["audio_seconds"] / 3600
        length = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        parts = [f"{counted(facts['recordings'], 'recording')}, {length}"]
        optional = {
            f"{facts['known']} already transcribed": facts["known"],
            f"{facts['failed']} failed": facts["failed"],
            f"{report.count(Outcome.CANCELLED)} cancelled": report.count(Outcome.CANCELLED),
            f"{report.count(Outcome.TAKEN)} claimed by another run": report.count(Outcome.TAKEN),
            f"{report.count(Outcome.LEFT)} left": report.count(Outcome.LEFT),
            f"{counted(report.skipped, 'other file')} skipped": report.skipped,
            f"{report.recently_modified} modified too recently": report.recently_modified,
        }
        parts += [text for text, count in optional.items() if count]
        return f"{', '.join(parts)}; {facts['queued']} queued"

    def _facts(self) -> dict[str, Any]:
        report = self._run.report
        audio_s = report.audio_s + sum(each.audio_s for each in self._placed)
        return {
            "recordings": len(report.recordings) + len(self._placed),
            "audio_seconds": round(audio_s, 3),
            "known": report.count(Outcome.DONE),
            "failed": report.count(Outcome.FAILED),
            "queued": len(self._placed),
        }

    def _report_end(self, wall_s: float, code: int) -> None:
        report = self._run.report
        if report.fatal is not None:
            self._say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        if self._awaited is None:
            facts, line = self._facts(), self._queued_line()
        else:
            failed, cancelled = report.count(Outcome.FAILED), report.count(Outcome.CANCELLED)
            facts = self._awaited | {"failed": failed}
            left = facts["recordings"] - len(report.recordings)
            line = f"{counted(report.count(Outcome.DONE), 'recording')} done, {failed} failed"
            line += f", {cancelled} cancelled" * (cancelled > 0)
            line += f", {left} left to the workers" * (left > 0) + f", {clock(wall_s)}"
        failed_some = code == SOME_FAILED
        self._say(line, important=failed_some and not self._mode.quiet)
        mode = self._mode
        if mode.logs_to_stderr and (not mode.as_json or (mode.quiet and code == OK)):
            return
        if self._log is not None:
            error = None if report.fatal is None else str(report.fatal)
            facts = {"exit_code": code, "error": error} | facts
            self._log.summary(line, facts | {"wall_seconds": round(wall_s, 3)})

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._mode.is_json:
            self._display.say(line, important=important)
