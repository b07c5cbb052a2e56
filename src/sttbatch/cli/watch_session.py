"""WatchSession: one process of `watch`, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sttbatch.cli.console.progress import OutputMode
from sttbatch.cli.console.text import clock, counted, printable
from sttbatch.cli.exit_codes import OK, SIGNAL_BASE, SOME_FAILED, error_exit_code, exit_code
from sttbatch.cli.run_session import Session
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.process_limits import collect_garbage
from sttbatch.composition.settings import Settings
from sttbatch.composition.watch_process import Watched, WatchProcess
from sttbatch.core.errors import SttbatchError
from sttbatch.kinds.report import BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class WatchSession(Session):
    """Runs one `watch` from opening the ledger to its exit code."""

    def __init__(
        self,
        settings: Settings,
        flags: RunFlags,
        watched: Watched,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        super().__init__(mode, log)
        self._settings = settings
        self._watched = watched
        self._done = self._failed = 0
        self._process = WatchProcess(
            settings,
            key,
            watched,
            run_config_of(settings, flags, to_stdout=mode.text),
            flags.priority,
            self._report_batch,
            alerts=alerts,
            listeners=self._listeners,
            observe=partial(self._print, settings.formats[0]) if mode.text else None,
        )

    async def watch(self) -> int:
        """Watch until a signal; returns the exit code."""
        collect_garbage()
        started_at, signals = time.monotonic(), self._signals
        signals.stop = self._process.drain
        settle = clock(self._watched.settle_s)
        self._say(f"watching; what arrives is transcribed once it is unchanged for {settle}")
        error: SttbatchError | None = None
        with signals, signals.absorb_cancellation():
            try:
                await self._process.run()
            except SttbatchError as raised:
                error = raised
        code = OK if error is None else error_exit_code(error)
        if signals.first is not None:
            code = SIGNAL_BASE + signals.first
        elif code == OK and self._output.fault:
            code = SOME_FAILED
        if error is not None:
            self._say(f"sttbatch: {printable(str(error))}", important=True)
        wall_s = time.monotonic() - started_at
        done = counted(self._done, "recording")
        line = f"watched for {clock(wall_s)}: {done} done, {self._failed} failed"
        self._say(line)
        reason = None if error is None else str(error)
        facts = {"exit_code": code, "error": reason, "done": self._done, "failed": self._failed}
        self._log_summary(line, facts | {"wall_seconds": round(wall_s, 3)}, code)
        return code

    def _report_batch(self, report: BatchReport, wall_s: float) -> None:
        self._done += report.count(Outcome.DONE)
        self._failed += report.count(Outcome.FAILED)
        self._report_run(report, self._process.warn, wall_s, exit_code(report, None))
