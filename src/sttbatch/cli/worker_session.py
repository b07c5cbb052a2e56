"""WorkerSession: one process of `worker`, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sttbatch.cli.console.progress import Display, OutputMode
from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.cli.exit_codes import OK, SIGNAL_BASE, error_exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.process_limits import collect_garbage
from sttbatch.composition.serving import WorkerProcess
from sttbatch.composition.settings import Settings
from sttbatch.core.errors import SttbatchError
from sttbatch.core.events import Event, JobCompleted, JobFailed

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class WorkerSession:
    """Runs one worker from opening the ledger to its exit code."""

    def __init__(
        self,
        settings: Settings,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        self._mode = mode
        self._log = log
        self._display = Display(
            StandardOutput(), bars=False, quiet=mode.quiet, paths=True,
            verbose=not mode.logs_to_stderr,
        )  # fmt: skip
        listeners: list[Callable[[Event], None]] = [self._display, self._count]
        if log is not None:
            listeners.append(log)
        self._done = self._failed = 0
        self._process = WorkerProcess(settings, key, alerts=alerts, listeners=listeners)

    async def work(self) -> int:
        """Work until a signal; returns the exit code."""
        collect_garbage()
        started_at, signals = time.monotonic(), Signals(self._say)
        signals.stop = self._process.drain
        error: SttbatchError | None = None
        with signals, signals.absorb_cancellation():
            try:
                await self._process.run()
            except SttbatchError as raised:
                error = raised
        code = OK if error is None else error_exit_code(error)
        if signals.first is not None:
            code = SIGNAL_BASE + signals.first
        if error is not None:
            self._say(f"sttbatch: {printable(str(error))}", important=True)
        wall_s = time.monotonic() - started_at
        line = f"{counted(self._done, 'order')} done, {self._failed} failed, {clock(wall_s)}"
        self._say(line)
        if self._log is not None:
            facts = {"done": self._done, "failed": self._failed, "wall_seconds": round(wall_s, 3)}
            reason = None if error is None else str(error)
            self._log.summary(line, {"exit_code": code, "error": reason} | facts)
        return code

    def _count(self, event: Event) -> None:
        self._done += isinstance(event, JobCompleted)
        self._failed += isinstance(event, JobFailed)

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._mode.is_json:
            self._display.say(line, important=important)
