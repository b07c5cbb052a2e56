"""WatchSession: one process of `watch`, its display, log and exit code."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sttbatch.cli.console.progress import OutputMode
from sttbatch.cli.console.text import clock, counted
from sttbatch.cli.exit_codes import exit_code
from sttbatch.cli.process_session import ProcessSession
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.watch_process import Watched, WatchProcess
from sttbatch.kinds.report import BatchReport, Outcome

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class WatchSession(ProcessSession):
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
        settle = clock(self._watched.settle_s)
        self._say(f"watching; what arrives is transcribed once it is unchanged for {settle}")
        return await self._run_to_signal(self._process, self._line_after)

    def _line_after(self, wall_s: float) -> str:
        done = counted(self._done, "recording")
        return f"watched for {clock(wall_s)}: {done} done, {self._failed} failed"

    def _report_batch(self, report: BatchReport, wall_s: float) -> None:
        self._done += report.count(Outcome.DONE)
        self._failed += report.count(Outcome.FAILED)
        self._report_run(report, self._process.warn, wall_s, exit_code(report, None))
