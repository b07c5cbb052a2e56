"""One run of `transcribe`: what is finished, what is left, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sttbatch.batch.report import BatchReport, Outcome
from sttbatch.cli.choosing import RunFlags, choices_of
from sttbatch.cli.exits import OK, SOME_FAILED, exit_code
from sttbatch.cli.measuring import measured
from sttbatch.cli.progress import Display
from sttbatch.cli.rendering import Out, forecast_lines, printable, summary
from sttbatch.cli.settings import Settings
from sttbatch.cli.state import LEDGER, data_folder
from sttbatch.core.events import Event, FileProcessingCompleted, JobCompleted, Warned
from sttbatch.database.database import Database
from sttbatch.processing.discovery import Discovery

if TYPE_CHECKING:
    from sttbatch.batch.run import Batch
    from sttbatch.external.secret import Secret

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Voice:
    """How a run speaks.

    Attributes:
        text: print the transcripts on standard output instead of writing files.
    """

    quiet: bool
    verbose: bool
    log_format: str
    bars: bool
    text: bool


class Run:
    """What is needed from the first look at the ledger to the exit code."""

    def __init__(
        self, settings: Settings, flags: RunFlags, voice: Voice, key: Secret | None
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._voice = voice
        self._key = key
        self._out = Out()
        self._display = Display(self._out, bars=voice.bars, quiet=voice.quiet, paths=not voice.text)
        self._listeners: list[Callable[[Event], None]] = [self._display]
        if voice.verbose:
            from sttbatch.monitoring.logs import EventLog

            self._listeners.append(EventLog(sys.stderr, as_json=voice.log_format == "json"))
        self._report = BatchReport()

    async def transcribe(self, found: Discovery) -> int:
        """Transcribe what was found; the exit code."""
        begun = time.monotonic()
        signalled = None
        async with contextlib.AsyncExitStack() as opened:
            database = opened.enter_context(
                contextlib.closing(Database(data_folder(self._settings) / LEDGER))
            )
            collector = await opened.enter_async_context(
                measured(self._settings, found, self._report, self._warn)
            )
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
                signalled = await self._work(found, database)
        self._conclude(summary(self._report, time.monotonic() - begun))
        return exit_code(self._report, signalled)

    async def forecast(self, found: Discovery) -> int:
        """Print what `transcribe` would send; the exit code."""
        with contextlib.closing(Database(data_folder(self._settings) / LEDGER)) as database:
            async with self._batch(database) as batch:
                forecast = await batch.forecast(found)
        for line in forecast_lines(forecast):
            self._out.line(line)
        return SOME_FAILED if self._report.count(Outcome.FAILED) else OK

    async def _take_finished(self, found: Discovery, database: Database) -> None:
        """Report what former runs have finished; nothing that a batch needs is loaded for it."""
        from sttbatch.batch.finished import FinishedBefore, strangers
        from sttbatch.outputs.names import OutputRegistry

        finished = FinishedBefore(
            database,
            choices_of(self._settings, self._flags),
            cache_max_age_s=self._settings.cache_max_age,
        )
        for each in await finished.take_from(found):
            self._report.recordings.append(each)
            self._emit(FileProcessingCompleted(each.shown, each.outputs))
            self._emit(JobCompleted(each.shown, each.audio_s, each.cached))
        if not (found.candidates or found.failures):
            self._report.too_young = found.too_young
            self._report.skipped = await strangers(found, OutputRegistry(database))

    async def _work(self, found: Discovery, database: Database) -> int | None:
        """Transcribe what is left; the first signal that came meanwhile."""
        async with self._batch(database) as batch:
            caught = _Signals(batch.stop, self._display)
            with self._display, caught:
                try:
                    await batch.run(found)
                except asyncio.CancelledError:
                    if caught.first is None:
                        raise
        return caught.first

    def _batch(self, database: Database) -> contextlib.AbstractAsyncContextManager[Batch]:
        from sttbatch.cli.stdout_writer import StdoutWriter
        from sttbatch.cli.wiring import open_batch

        writer = StdoutWriter(self._out, self._settings.formats[0]) if self._voice.text else None
        return open_batch(
            self._settings, self._flags, database, self._key, self._emit, self._report, writer
        )

    def _warn(self, message: str) -> None:
        self._emit(Warned("", message))

    def _emit(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def _conclude(self, line: str) -> None:
        report = self._report
        for each in report.recordings:
            for path in each.kept:
                self._display.say(
                    f"{printable(path)}: kept, it was edited or is not ours "
                    "(--overwrite replaces it)"
                )
        if report.fatal is not None:
            self._display.say(f"sttbatch: {printable(str(report.fatal))}", important=True)
        failed = report.count(Outcome.FAILED) > 0 or report.fatal is not None
        self._display.say(line, important=failed and not self._voice.quiet)


class _Signals:
    """The first signal lets what is in flight finish and be stored, the second cancels."""

    def __init__(self, stop: Callable[[], None], display: Display) -> None:
        self._stop = stop
        self._display = display
        self.first: int | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        for number in SIGNALS:
            loop.add_signal_handler(number, self._caught, number, task)

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def _caught(self, number: int, task: asyncio.Task[Any]) -> None:
        if self.first is not None:
            task.cancel()
            return
        self.first = number
        self._display.say(
            "stopping: what is in flight is finished and stored; once more to leave at once"
        )
        self._stop()
