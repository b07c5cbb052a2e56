"""TranscribeSession: one run of `transcribe`, its display, log and exit code."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.progress import OutputMode
from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.exit_codes import exit_code
from sttbatch.cli.run_session import RunSession
from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.telemetry import exported_run
from sttbatch.kinds.report import BatchForecast
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.core.locations import FileStatus, Location
    from sttbatch.external.secret import Secret
    from sttbatch.monitoring.alerts import AlertRule
    from sttbatch.monitoring.logs import EventLog


class TranscribeSession(RunSession):
    """Runs one `transcribe` from opening the ledger to its exit code.

    `key` is the API key; None: the engine needs none, or nothing is sent.
    """

    _run: BatchRun

    def __init__(
        self,
        settings: Settings,
        flags: RunFlags,
        mode: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        super().__init__(mode, log)
        self._settings = settings
        self._priority = flags.priority
        self.config = run_config_of(settings, flags, to_stdout=mode.text)
        observe = partial(self._print, settings.formats[0]) if mode.text else None
        self._run = BatchRun(
            settings,
            key,
            alerts=alerts,
            listeners=self._listeners,
            observe=observe,
            ends_process=True,
        )

    async def transcribe_all(self, discovery: Discovery) -> int:
        """Transcribe the discovered recordings; returns the exit code."""
        return await self._run_to_end(lambda: self.transcribe(discovery, self.config))

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
        code = exit_code(self._run.report, signals.first)
        lines = run_summary.forecast_lines(forecast)
        if not self._mode.quiet and signals.first is None:
            print_lines(lines)
        facts = run_summary.summary_facts(self._run.report, time.monotonic() - started_at, code)
        facts["would_send"] = run_summary.forecast_facts(forecast)
        self._log_summary(lines[-1], facts, code)
        return code
