"""Progress bars on a terminal, in seconds of audio: one for the batch, one per recording."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sttbatch.cli.console.eta import EtaEstimator
from sttbatch.cli.console.text import clock, printable
from sttbatch.core import events

_NAME_WIDTH = 40


class _SecondsColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{clock(task.completed)}/{clock(task.total or 0)}")


class _EtaColumn(ProgressColumn):
    """The remaining time of the batch; that of one recording depends on the others."""

    def __init__(self, eta: EtaEstimator) -> None:
        super().__init__()
        self._eta = eta

    def render(self, task: Task) -> Text:
        seconds = self._eta.seconds() if task.fields.get("is_batch") else None
        return Text(f"{clock(seconds)} left" if seconds is not None else "")


class ProgressBars:
    """Draws bars from the events of a run."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._eta = EtaEstimator()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            _SecondsColumn(),
            _EtaColumn(self._eta),
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
        self._batch = self._progress.add_task("batch", total=None, is_batch=True)

    def stop(self) -> None:
        self._progress.stop()

    def print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)

    def follow(self, event: events.Event) -> None:
        if self._batch is None:
            # Recordings that were finished before come first, and a forecast draws no bars.
            return
        self._eta.follow(event)
        match event:
            case events.JobQueued(recording, audio_s):
                self._lengths[recording] = audio_s
                self._total_s += audio_s
                self._progress.update(self._batch, total=self._total_s)
            case events.JobStarted(recording, _):
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
