"""What a run prints while it works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from sttbatch.cli.console.stdio import StandardOutput
from sttbatch.cli.console.text import clock, printable
from sttbatch.core import events

if TYPE_CHECKING:
    from sttbatch.cli.console.progress_bars import ProgressBars


class Display:
    """Prints events: paths of finished recordings on standard output, the rest on stderr.

    Args:
        bars: draw progress bars instead of plain lines.
        quiet: print failures only.
        paths: print the path of each finished recording.
        verbose: print events; without it only the paths.
    """

    def __init__(
        self, output: StandardOutput, *, bars: bool, quiet: bool, paths: bool, verbose: bool
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
            self._print_path(event.outputs[0])
        elif self._verbose:
            self._print_event(event)

    def _print_event(self, event: events.Event) -> None:
        if self._quiet and not isinstance(event, events.JobFailed | events.AlertTriggered):
            return
        match event:
            case events.JobCompleted(recording, audio_s, cached):
                how = "from cache" if cached else "transcribed"
                self.say(f"{printable(recording)}: {how}, {clock(audio_s)}")
            case events.JobFailed(recording, _, reason):
                self.say(f"{printable(recording)}: failed: {printable(reason)}", important=True)
            case events.Warned(recording, message):
                name = f"{printable(recording)}: " if recording else ""
                self.say(f"warning: {name}{printable(message)}")
            case events.AlertTriggered():
                from sttbatch.monitoring.alerts import alert_message

                # With --quiet too: the user asked for it, and this is the channel.
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

    def _print_path(self, path: str) -> None:
        if not self._paths:
            return
        if self._bars is not None and sys.stdout.isatty():
            self._bars.print(printable(path))
        else:
            self._output.line(path)
