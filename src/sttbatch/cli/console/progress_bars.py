"""Progress bars on a terminal, for the batch and each recording, and the estimated time left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from sttbatch.cli.console.text import clock, printable
from sttbatch.core import events
from sttbatch.core.models import LatencyModel

_NAME_WIDTH = 40
_RECENT = 50


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
            # Up-to-date recordings come first, and a forecast draws no bars.
            return
        if getattr(event, "piece", None) is not None:
            # A piece's audio is counted with its chunk.
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
            case events.TranscriptMerged(recording):
                # Summaries and translations of new recordings begin only when all are transcribed.
                self._remove(recording)
            case events.ChunkProcessingCompleted(
                recording, _, audio_s
            ) | events.ChunkProcessingFailed(recording, _, audio_s):
                self._progress.advance(self._batch, audio_s)
                if recording in self._lengths:
                    self._lengths[recording] -= audio_s
                if recording in self._recordings:
                    self._progress.advance(self._recordings[recording], audio_s)
            case (
                events.JobCompleted(recording)
                | events.JobFailed(recording)
                | events.JobSkipped(recording)
            ):
                # What others process, or is left, has no chunks here.
                self._progress.advance(self._batch, max(0.0, self._lengths.pop(recording, 0.0)))
                self._remove(recording)

    def _remove(self, recording: str) -> None:
        task = self._recordings.pop(recording, None)
        if task is not None:
            self._progress.remove_task(task)


class EtaEstimator:
    """Estimates the remaining time of a run from its events.

    Work is measured in seconds of latency by the plan's model, so that a short chunk counts for
    more than its audio. Until the first answer the plan is the estimate; after it
    remaining = elapsed * (work - done) / done.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._plan: events.BatchPlanned | None = None
        self._started_at = 0.0
        self._plan_s = self._work_s = 0.0
        self._done_s = 0.0
        self._pending_s: dict[str, float] = {}
        self._in_flight: dict[tuple[str, int], tuple[float, float]] = {}
        self._pace: deque[float] = deque(maxlen=_RECENT)

    def follow(self, event: events.Event) -> None:
        match event:
            case events.BatchPlanned(_, audio_s, chunks, _, latency):
                self._plan = event
                self._plan_s = chunks * latency.base_s + audio_s * latency.per_audio_s
                self._work_s = self._plan_s
            case events.JobQueued(recording, audio_s):
                self._pending_s[recording] = audio_s
            case events.ChunkProcessingStarted(recording, index, audio_s):
                if not self._in_flight and not self._pace:
                    self._started_at = self._clock()
                self._in_flight[recording, index] = (self._clock(), audio_s)
            case events.ChunkProcessingCompleted(recording, index, audio_s, cached):
                self._chunk_ended(recording, index, audio_s, sent=not cached)
            case events.ChunkProcessingFailed(recording, index, audio_s):
                self._chunk_ended(recording, index, audio_s, sent=True)
            case (
                events.JobCompleted(recording)
                | events.JobFailed(recording)
                | events.JobSkipped(recording)
            ):
                pending_s = self._pending_s.pop(recording, 0.0)
                if self._plan is not None and self._plan.audio_s > 0:
                    # This audio will not be sent.
                    share = min(1.0, pending_s / self._plan.audio_s)
                    self._work_s = max(self._done_s, self._work_s - share * self._plan_s)

    def seconds(self) -> float | None:
        """The remaining seconds; None before there is a plan."""
        if self._plan is None:
            return None
        now = self._clock()
        if not self._pace:
            waited_s = now - self._started_at if self._in_flight else 0.0
            return max(0.0, self._plan.expected_s - waited_s)
        done_s = self._done_s + self._in_flight_s(now, self._plan.latency)
        if done_s <= 0:
            return None
        return (now - self._started_at) * max(0.0, self._work_s - done_s) / done_s

    def _in_flight_s(self, now: float, latency: LatencyModel) -> float:
        """Work done for chunks in flight, at the median pace of recent answers."""
        pace = median(self._pace)
        parts = 0.0
        for started_at, audio_s in self._in_flight.values():
            answer_s = latency.answer_s(audio_s)
            parts += min(answer_s, (now - started_at) / pace) if pace > 0 else answer_s
        return parts

    def _chunk_ended(self, recording: str, index: int, audio_s: float, *, sent: bool) -> None:
        if recording in self._pending_s:
            self._pending_s[recording] = max(0.0, self._pending_s[recording] - audio_s)
        started = self._in_flight.pop((recording, index), None)
        if self._plan is None or started is None:
            # A stored chunk of an earlier run is not part of the plan.
            return
        answer_s = self._plan.latency.answer_s(audio_s)
        if not sent:
            self._work_s -= answer_s
            return
        self._done_s += answer_s
        self._pace.append((self._clock() - started[0]) / answer_s)
