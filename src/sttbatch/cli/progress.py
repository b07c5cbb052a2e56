"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sttbatch.cli.rendering import Out, clock, printable
from sttbatch.core import events

_NAME_WIDTH = 40


class Display:
    """Listens to events. Paths of finished recordings go to standard output, the rest to stderr.

    Args:
        bars: whether to draw; plain lines otherwise.
        quiet: say nothing but what failed.
    """

    def __init__(self, out: Out, *, bars: bool, quiet: bool, paths: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._paths = paths and not quiet
        self._bars = _Bars() if bars and not quiet else None

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
        match event:
            case events.FileProcessingCompleted(_, outputs) if outputs:
                self._path(outputs[0])
            case events.JobCompleted(recording, audio_s, cached):
                how = "from cache" if cached else "transcribed"
                self.say(f"{printable(recording)}: {how}, {clock(audio_s)}")
            case events.JobFailed(recording, _, reason):
                self.say(f"{printable(recording)}: failed: {printable(reason)}", important=True)
            case events.Warned(recording, message):
                name = f"{printable(recording)}: " if recording else ""
                self.say(f"warning: {name}{printable(message)}")

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


class _SecondsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.completed)}/{clock(task.total or 0)}")


class _Bars:
    """One bar for the batch in seconds of audio, one line per recording in work."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            _SecondsColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            redirect_stdout=False,
            redirect_stderr=False,
            expand=True,
        )
        self._batch: TaskID | None = None
        self._total_s = 0.0
        self._recordings: dict[str, TaskID] = {}
        self._lengths: dict[str, float] = {}

    def start(self) -> None:
        self._progress.start()
        self._batch = self._progress.add_task("batch", total=None)

    def stop(self) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def follow(self, event: events.Event) -> None:
        assert self._batch is not None
        match event:
            case events.JobQueued(recording, audio_s):
                self._lengths[recording] = audio_s
                self._total_s += audio_s
                self._progress.update(self._batch, total=self._total_s)
            case events.JobStarted(recording):
                name = printable(recording)
                short = name if len(name) <= _NAME_WIDTH else "…" + name[1 - _NAME_WIDTH :]
                length_s = self._lengths.get(recording)
                self._recordings[recording] = self._progress.add_task(short, total=length_s)
            case events.ChunkProcessingCompleted(
                recording, _, audio_s
            ) | events.ChunkProcessingFailed(recording, _, audio_s):
                self._progress.advance(self._batch, audio_s)
                if recording in self._recordings:
                    self._progress.advance(self._recordings[recording], audio_s)
            case events.JobCompleted(recording) | events.JobFailed(recording):
                task = self._recordings.pop(recording, None)
                if task is not None:
                    self._progress.remove_task(task)
