"""One run of `transcribe`: what is finished, what is left, and how it ends."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from sttbatch.cli.console.output_mode import OutputMode, forecast_facts, summary_facts
from sttbatch.cli.console.progress import Display
from sttbatch.cli.console.rendering import Out, forecast_lines, printable, summary
from sttbatch.cli.exit_codes import OK, SOME_FAILED, exit_code
from sttbatch.cli.signals import Signals
from sttbatch.composition.alert_watch import watching
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.paths import data_folder
from sttbatch.composition.run_metrics import measured
from sttbatch.composition.settings import Settings
from sttbatch.core.events import (
    Event,
    FileProcessingCompleted,
    FilesSkipped,
    JobCompleted,
    Warned,
)
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


class Run:
    """What is needed from the first look at the ledger to the exit code."""

    def __init__(
        self,
        settings: Settings,
        flags: RunFlags,
        voice: OutputMode,
        key: Secret | None,
        alerts: Sequence[AlertRule] = (),
        log: EventLog | None = None,
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._voice = voice
        self._key = key
        self._out = Out()
        self._alerts = alerts
        self._log = log
        self._display = Display(
            self._out,
            bars=voice.draws,
            quiet=voice.quiet,
            paths=not voice.text,
            # A log on standard error says it already.
            follows=not voice.logs_to_stderr,
        )
        self._report = BatchReport()
        self._listeners: list[Callable[[Event], None]] = [self._report, self._display]
        if log is not None:
            self._listeners.append(log)

    async def transcribe(self, found: Discovery) -> int:
        """Transcribe what was found; the exit code."""
        begun = time.monotonic()
        with Signals(self._say) as caught, caught.cancelling():
            await self._transcribe(found, caught)
        code = exit_code(self._report, caught.first)
        if code == OK and self._out.fault:
            code = SOME_FAILED
        self._conclude(time.monotonic() - begun, code)
        return code

    async def _transcribe(self, found: Discovery, caught: Signals) -> None:
        async with contextlib.AsyncExitStack() as opened:
            database = opened.enter_context(
                contextlib.closing(open_ledger(data_folder(self._settings)))
            )
            collector = await opened.enter_async_context(
                measured(self._settings, found, self._report, self._warn)
            )
            await opened.enter_async_context(watching(self._alerts, database, self._emit))
            if not (self._voice.text or self._flags.force):
                # Everything that it makes stays; looking for garbage in it is a tenth of its time.
                gc.disable()
                await self._take_finished(found, database)
                gc.enable()
            if collector is not None:
                # Told of them one by one it would take longer than looking at them does.
                collector.found_unchanged(len(self._report.recordings))
                self._listeners.append(collector)
            if found.candidates or found.failures:
                await self._work(found, database, caught)

    async def forecast(self, found: Discovery) -> int:
        """Print what `transcribe` would send; the exit code."""
        begun = time.monotonic()
        forecast = BatchForecast((), 0.0, 0)
        with (
            Signals(self._say) as caught,
            caught.cancelling(),
            contextlib.closing(open_ledger(data_folder(self._settings))) as database,
        ):
            async with self._batch(found, database) as batch:
                forecast = await batch.forecast(found)
        code = exit_code(self._report, caught.first)
        lines = forecast_lines(forecast)
        if not self._voice.quiet and caught.first is None:
            for line in lines:
                self._out.line(line)
        if self._log is not None and self._sums_up(code):
            facts = summary_facts(self._report, time.monotonic() - begun, code)
            self._log.summary(lines[-1], facts | {"would_send": forecast_facts(forecast)})
        return code

    async def _take_finished(self, found: Discovery, database: Database) -> None:
        """Report what former runs have finished; nothing that a batch needs is loaded for it."""
        from sttbatch.kinds.transcription.up_to_date import UpToDateFilter, count_foreign_files
        from sttbatch.outputs.names import OutputRegistry

        finished = UpToDateFilter(
            database,
            run_config_of(self._settings, self._flags),
            cache_max_age_s=self._settings.cache_max_age,
        )
        for each in await finished.take_from(found):
            self._emit(FileProcessingCompleted(each.display_path, each.outputs))
            self._emit(JobCompleted(each.display_path, each.audio_s, each.cached))
        if not (found.candidates or found.failures):
            skipped = await count_foreign_files(found, OutputRegistry(database))
            if skipped or found.too_young:
                self._emit(FilesSkipped("", skipped, found.too_young))

    async def _work(self, found: Discovery, database: Database, caught: Signals) -> None:
        """Transcribe what is left."""
        async with self._batch(found, database) as batch:
            caught.stop = batch.stop
            with self._display, caught.cancelling():
                await batch.run(found)

    @contextlib.asynccontextmanager
    async def _batch(
        self, found: Discovery, database: Database
    ) -> AsyncIterator[TranscriptionPipeline]:
        from sttbatch.processing.media.media_workers import MediaWorkers

        folder = data_folder(self._settings)
        with run_folder(folder / "spool") as spool:
            async with MediaWorkers(spool) as media:
                # Their libraries load while ours do.
                await media.start(len(found.candidates))
                from sttbatch.cli.console.stdout_writer import StdoutWriter
                from sttbatch.composition.workshop import open_batch

                # What is loaded by now stays: to search it for garbage again and again holds up
                # every lane.
                gc.freeze()
                text = self._voice.text
                stdout = StdoutWriter(self._out, self._settings.formats[0]) if text else None
                async with open_batch(
                    self._settings,
                    self._flags,
                    folder,
                    database,
                    media,
                    self._key,
                    self._emit,
                    stdout,
                ) as batch:
                    yield batch

    def _warn(self, message: str) -> None:
        self._emit(Warned("", message))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _conclude(self, wall_s: float, code: int) -> None:
        report, quiet = self._report, self._voice.quiet
        for each in report.recordings:
            for path in each.kept:
                self._emit(
                    Warned(
                        "", f"{path}: kept, it was edited or is not ours (--overwrite replaces it)"
                    )
                )
        if report.fatal is not None:
            self._say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        if self._out.fault is not None:
            self._say(
                f"sttbatch: standard output cannot be written: {self._out.fault}; what was "
                "transcribed is stored, run the same command again",
                important=True,
            )
        failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
        line = summary(report, wall_s)
        self._say(line, important=failed and not quiet)
        if self._log is not None and self._sums_up(code):
            self._log.summary(line, summary_facts(report, wall_s, code))

    def _sums_up(self, code: int) -> bool:
        """Whether the log ends with a summary; text on standard error has it already."""
        if self._voice.logs_to_stderr:
            return self._voice.as_json and not (self._voice.quiet and code == OK)
        return True

    def _say(self, line: str, *, important: bool = False) -> None:
        if not self._voice.is_json:
            self._display.say(line, important=important)
