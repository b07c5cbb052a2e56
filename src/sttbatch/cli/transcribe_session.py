"""One run of `transcribe`: check what is up to date, transcribe the rest, report."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from sttbatch.cli.console import run_summary
from sttbatch.cli.console.output_mode import OutputMode
from sttbatch.cli.console.progress import Display
from sttbatch.cli.console.stdio import StandardOutput, print_lines
from sttbatch.cli.console.text import printable
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.alert_watch import watching
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.paths import data_folder
from sttbatch.composition.run_metrics import measured
from sttbatch.composition.settings import Settings
from sttbatch.core.events import Event, Warned
from sttbatch.database.database import Database
from sttbatch.database.opening import open_ledger
from sttbatch.database.private_files import run_folder
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Outcome
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.external.secret import Secret
    from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
    from sttbatch.monitoring.alert_rules import AlertRule
    from sttbatch.monitoring.logs import EventLog


class TranscribeSession:
    """Runs one `transcribe` from opening the ledger to its exit code.

    Args:
        key: the API key; None: the engine needs none, or nothing is sent.
        log: the event log; None: there is none.
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
        self._flags = flags
        self._mode = mode
        self._key = key
        self._output = StandardOutput()
        self._alerts = alerts
        self._log = log
        # A log on standard error has the events already.
        self._display = Display(
            self._output, bars=mode.draws, quiet=mode.quiet, paths=not mode.text,
            verbose=not mode.logs_to_stderr,
        )  # fmt: skip
        self._report = BatchReport()
        self._listeners: list[Callable[[Event], None]] = [self._report, self._display]
        if log is not None:
            self._listeners.append(log)

    async def transcribe(self, discovery: Discovery) -> int:
        """Transcribe the discovered recordings; returns the exit code."""
        started_at = time.monotonic()
        with Signals(self._say) as signals, signals.absorb_cancellation():
            await self._transcribe(discovery, signals)
        code = exit_code(self._report, signals.first)
        if code == OK and self._output.fault:
            code = SOME_FAILED
        self._report_end(time.monotonic() - started_at, code)
        return code

    async def _transcribe(self, discovery: Discovery, signals: Signals) -> None:
        async with contextlib.AsyncExitStack() as opened:
            database = opened.enter_context(
                contextlib.closing(open_ledger(data_folder(self._settings)))
            )
            collector = await opened.enter_async_context(
                measured(self._settings, discovery, self._report, self._warn)
            )
            await opened.enter_async_context(watching(self._alerts, database, self._emit))
            if not (self._mode.text or self._flags.force):
                # It makes no garbage, and collecting would take a tenth of its time.
                gc.disable()
                await self._report_up_to_date(discovery, database)
                gc.enable()
            if collector is not None:
                # Counting them one by one would take longer than checking them.
                collector.found_unchanged(len(self._report.recordings))
                self._listeners.append(collector)
            if discovery.candidates or discovery.failures:
                await self._work(discovery, database, signals)

    async def forecast(self, discovery: Discovery) -> int:
        """Print what `transcribe` would send; returns the exit code."""
        started_at = time.monotonic()
        forecast = BatchForecast((), 0.0, 0)
        with (
            Signals(self._say) as signals,
            signals.absorb_cancellation(),
            contextlib.closing(open_ledger(data_folder(self._settings))) as database,
        ):
            async with self._batch(discovery, database) as batch:
                forecast = await batch.forecast(discovery)
        code = exit_code(self._report, signals.first)
        lines = run_summary.forecast_lines(forecast)
        if not self._mode.quiet and signals.first is None:
            print_lines(lines)
        if self._log is not None and self._logs_summary(code):
            facts = run_summary.summary_facts(self._report, time.monotonic() - started_at, code)
            self._log.summary(
                lines[-1], facts | {"would_send": run_summary.forecast_facts(forecast)}
            )
        return code

    async def _report_up_to_date(self, discovery: Discovery, database: Database) -> None:
        """Report up-to-date recordings, without importing what a batch needs."""
        from sttbatch.database.outputs import SqlOutputStore
        from sttbatch.kinds.transcription.up_to_date import report_skipped, take_up_to_date
        from sttbatch.outputs.output_registry import OutputRegistry

        config = run_config_of(self._settings, self._flags)
        max_age_s = self._settings.cache_max_age
        await take_up_to_date(discovery, database, config, self._emit, cache_max_age_s=max_age_s)
        if not (discovery.candidates or discovery.failures):
            registry = OutputRegistry(SqlOutputStore(database))
            await report_skipped(discovery, registry, self._emit)

    async def _work(self, discovery: Discovery, database: Database, signals: Signals) -> None:
        """Transcribe the recordings that are not up to date."""
        async with self._batch(discovery, database) as batch:
            signals.stop = batch.stop
            with self._display, signals.absorb_cancellation():
                await batch.run(discovery)

    @contextlib.asynccontextmanager
    async def _batch(
        self, discovery: Discovery, database: Database
    ) -> AsyncIterator[TranscriptionPipeline]:
        from sttbatch.processing.media.media_workers import MediaWorkers

        folder = data_folder(self._settings)
        with run_folder(folder / "spool") as spool:
            async with MediaWorkers(spool) as media:
                # Their imports run in parallel with ours.
                await media.start(len(discovery.candidates))
                from sttbatch.cli.console.stdout_writer import StdoutWriter
                from sttbatch.composition.workshop import open_workshop, transcription_run

                # Modules stay loaded; collecting them again and again would delay every request.
                gc.freeze()
                text = self._mode.text
                stdout = StdoutWriter(self._output, self._settings.formats[0]) if text else None
                config = run_config_of(self._settings, self._flags, to_stdout=text)
                async with open_workshop(
                    self._settings, folder, database, media, self._key, self._emit
                ) as workshop:
                    yield transcription_run(
                        workshop,
                        config,
                        self._emit,
                        priority=self._flags.priority,
                        writer=stdout,
                    )

    def _warn(self, message: str) -> None:
        self._emit(Warned("", message))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _report_end(self, wall_s: float, code: int) -> None:
        report, quiet = self._report, self._mode.quiet
        for each in report.recordings:
            for path in each.kept:
                self._warn(f"{path}: not replaced, edited or not ours; --overwrite replaces it")
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
        if self._log is not None and self._logs_summary(code):
            self._log.summary(line, run_summary.summary_facts(report, wall_s, code))

    def _logs_summary(self, code: int) -> bool:
        """Whether the log gets a summary; a text log on standard error has it already."""
        if self._mode.logs_to_stderr:
            return self._mode.as_json and not (self._mode.quiet and code == OK)
        return True

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._mode.is_json:
            self._display.say(line, important=important)
