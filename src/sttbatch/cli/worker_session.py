"""WorkerSession: one process of `worker`, its display, log and exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sttbatch.cli.console.progress import OutputMode
from sttbatch.cli.console.text import clock, counted
from sttbatch.cli.process_session import ProcessSession
from sttbatch.composition.serving import WorkerProcess
from sttbatch.composition.settings import Settings
from sttbatch.core.events import Event, JobCompleted, JobFailed

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class WorkerSession(ProcessSession):
    """Runs one worker from opening the ledger to its exit code."""

    def __init__(
        self,
        settings: Settings,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        super().__init__(mode, log)
        listeners = [*self._listeners, self._count]
        self._process = WorkerProcess(settings, key, alerts=alerts, listeners=listeners)

    async def work(self) -> int:
        """Work until a signal; returns the exit code."""
        return await self._run_to_signal(self._process, self._line_after)

    def _line_after(self, wall_s: float) -> str:
        return f"{counted(self._done, 'order')} done, {self._failed} failed, {clock(wall_s)}"

    def _count(self, event: Event) -> None:
        self._done += isinstance(event, JobCompleted)
        self._failed += isinstance(event, JobFailed)
