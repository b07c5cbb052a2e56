"""LanguageSession: one run of a task over transcripts, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.progress import OutputMode
from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.exit_codes import exit_code
from sttbatch.cli.run_session import RunSession
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.language_batch import LanguageBatch, LanguageOptions
from sttbatch.composition.language_runs import language_origin
from sttbatch.composition.settings import Settings
from sttbatch.composition.telemetry import exported_run
from sttbatch.kinds.language.spec import LanguageSpec
from sttbatch.kinds.language.task import LanguageTask
from sttbatch.kinds.report import BatchReport
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.core.locations import FileStatus, Location
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class LanguageSession(RunSession):
    """Runs one task from opening the ledger to its exit code."""

    _run: LanguageBatch

    def __init__(
        self,
        settings: Settings,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        super().__init__(mode, log)
        self._settings = settings
        self._run = LanguageBatch(
            settings, key, alerts=alerts, listeners=self._listeners, ends_process=True
        )

    async def run(self, discovery: Discovery, options: LanguageOptions) -> int:
        """Run the task over the discovered recordings; returns the exit code."""

        async def work() -> None:
            async with exported_run(self._run, self._settings):
                await self._run.run(discovery, options, self._working())

        return await self._run_to_end(work)

    @property
    def origin(self) -> str:
        """As `LanguageServices.origin`, like the methods below."""
        return language_origin(self._settings)

    async def status_of(self, path: Location) -> FileStatus:
        return await BatchRun(self._settings).status_of(path)

    async def content_of(self, path: Location) -> str:
        return await BatchRun(self._settings).content_of(path)

    async def run_task(
        self, discovery: Discovery, spec: LanguageSpec, task: LanguageTask[Any]
    ) -> None:
        async with exported_run(self._run, self._settings):
            await self._run.run_spec(discovery, spec, task, self._working())

    async def forecast(self, discovery: Discovery, options: LanguageOptions) -> int:
        """Print what `run` would send; returns the exit code."""
        started_at, signals = time.monotonic(), self._signals
        lines: list[str] = []
        would_send: dict[str, Any] = {}
        with signals, signals.absorb_cancellation():
            forecast = await self._run.forecast(discovery, options)
            lines = run_summary.language_forecast_lines(forecast)
            would_send = run_summary.language_forecast_facts(forecast)
        code = exit_code(self._run.report, signals.first)
        if lines and not self._mode.quiet:
            print_lines(lines)
        facts = run_summary.language_facts(self._run.report, time.monotonic() - started_at, code)
        self._log_summary(lines[-1] if lines else "", facts | {"would_send": would_send}, code)
        return code

    def _summary(self, report: BatchReport, wall_s: float, code: int) -> tuple[str, dict[str, Any]]:
        line = run_summary.summary_line(report, wall_s, is_language=True)
        return line, run_summary.language_facts(report, wall_s, code)
