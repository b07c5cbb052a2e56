"""The display of a run: bars on a terminal, plain lines elsewhere, and its log."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import clock, printable
from sttbatch.core import events
from sttbatch.core.errors import UsageError

if TYPE_CHECKING:
    from sttbatch.cli.console.progress_bars import ProgressBars
    from sttbatch.monitoring.logs import EventLog


class OutputMode(Struct, frozen=True):
    """The options of a run for its output.

    Attributes:
        bars: progress bars may be drawn on the terminal.
        text: transcripts are printed on standard output instead of written to files.
        log_file: the log is appended there instead of written to standard error.
    """

    quiet: bool
    verbose: bool
    as_json: bool
    bars: bool
    text: bool
    log_file: Path | None = None

    @property
    def draws(self) -> bool:
        return self.bars and not self.logs_to_stderr

    @property
    def logs_to_stderr(self) -> bool:
        return self.log_file is None and (self.verbose or self.as_json)

    @property
    def is_json(self) -> bool:
        """Whether standard error contains nothing but JSON."""
        return self.as_json and self.log_file is None


@contextlib.contextmanager
def event_log(mode: OutputMode) -> Iterator[EventLog | None]:
    """The log, None without one; raises UsageError if its file cannot be written."""
    if mode.log_file is None and not mode.logs_to_stderr:
        yield None
        return
    from sttbatch.monitoring.logs import EventLog

    if mode.log_file is None:
        yield EventLog(
            sys.stderr, as_json=mode.as_json, failures_only=mode.quiet, printable=printable
        )
        return
    try:
        # Private, as it names recordings.
        descriptor = os.open(
            mode.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
    except OSError as error:
        raise UsageError(
            f"--log-file {mode.log_file}: {error.strerror}; name a file in a folder that exists"
        ) from error
    file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    try:
        yield EventLog(file, as_json=mode.as_json, printable=printable)
    finally:
        # Closing flushes the buffer, which fails again if the disk is full.
        with contextlib.suppress(OSError):
            file.close()


class Display:
    """Prints paths of finished recordings on standard output, other events on standard error.

    Args:
        bars: draw progress bars instead of plain lines.
        quiet: print failures only.
        paths: print the path of each finished recording.
        verbose: print other events too.
    """

    def __init__(
        self,
        output: StandardOutput,
        *,
        bars: bool,
        quiet: bool,
        paths: bool,
        verbose: bool,
    ) -> None:
        self._output = output
        self._verbose = verbose
        self._quiet = quiet
        self._paths = paths and not quiet
        self._bars: ProgressBars | None = None
        if bars and not quiet:
            # Importing rich takes longer than checking a finished folder.
            from sttbatch.cli.console.progress_bars import ProgressBars

            self._bars = ProgressBars()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, event: events.Event) -> None:
        if self._bars is not None:
            self._bars.follow(event)
        if isinstance(event, events.FileProcessingCompleted) and event.outputs:
            path = event.outputs[0]
            if self._bars is not None and self._paths and sys.stdout.isatty():
                self._bars.print(printable(path))
            elif self._paths:
                self._output.line(path)
        elif self._verbose:
            self._print_event(event)

    def _print_event(self, event: events.Event) -> None:
        if self._quiet and not isinstance(event, events.JobFailed | events.AlertTriggered):
            return
        match event:
            case events.JobCompleted(recording, audio_s, cached, how):
                done = "from cache" if cached else how
                self.say(f"{printable(recording)}: {done}, {clock(audio_s)}")
            case events.JobFailed(recording, _, reason):
                self.say(f"{printable(recording)}: failed: {printable(reason)}", important=True)
            case events.Warned(recording, message):
                name = f"{printable(recording)}: " if recording else ""
                self.say(f"warning: {name}{printable(message)}")
            case events.MetricsServed(_, port):
                self.say(f"metrics are served on port {port}")
            case events.AlertTriggered():
                from sttbatch.monitoring.alerts import alert_message

                # With --quiet too, as this is the channel that the user chose.
                self.say(
                    printable(alert_message(event)), important="log" in event.notify.split(",")
                )

    def say(self, line: str, *, important: bool = False) -> None:
        """Print one line; with --quiet only if it is important."""
        if self._quiet and not important:
            return
        if self._bars is not None:
            self._bars.print(line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
