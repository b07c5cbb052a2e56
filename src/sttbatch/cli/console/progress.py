"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from sttbatch.cli.console.rendering import Out, clock, printable
from sttbatch.core import events

if TYPE_CHECKING:
    from sttbatch.cli.console.progress_bars import Bars


class Display:
    """Listens to events. Paths of finished recordings go to standard output, the rest to stderr.

    Args:
        bars: whether to draw; plain lines otherwise.
        quiet: say nothing but what failed.
        follows: say what happens; otherwise the paths alone are printed.
    """

    def __init__(
        self, out: Out, *, bars: bool, quiet: bool, paths: bool, follows: bool = True
    ) -> None:
        self._out = out
        self._follows = follows
        self._quiet = quiet
        self._paths = paths and not quiet
        self._bars: Bars | None = None
        if bars and not quiet:
            # rich takes longer to import than a finished folder takes to look at.
            from sttbatch.cli.console.progress_bars import Bars

            self._bars = Bars()

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
            self._path(event.outputs[0])
        elif self._follows:
            self._tell(event)

    def _tell(self, event: events.Event) -> None:
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
        """One line for people."""
        if self._quiet and not important:
            return
        if self._bars is not None:
            self._bars.print(line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def _path(self, path: str) -> None:
        if not self._paths:
            return
        if self._bars is not None and sys.stdout.isatty():
            self._bars.print(printable(path))
        else:
            self._out.line(path)
