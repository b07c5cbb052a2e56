"""The public Python API: what the command line does, for notebooks and other programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from msgspec import Struct

from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.settings import Settings, load_settings
from sttbatch.composition.stores import opened_stores, statistics_sources
from sttbatch.core.errors import UsageError
from sttbatch.core.events import Event, JobCompleted, JobFailed, JobSkipped, Warned
from sttbatch.core.jobs import Job, JobPriority, JobStatus
from sttbatch.core.locations import Location, location
from sttbatch.core.metrics import Window
from sttbatch.core.models import Transcript
from sttbatch.kinds.report import BatchForecast, Outcome
from sttbatch.processing.discovery import Discovery, discover, expand

if TYPE_CHECKING:
    from sttbatch.monitoring.statistics import Statistics
    from sttbatch.outputs.document import Document

T = TypeVar("T")
PathLike: TypeAlias = str | os.PathLike[str]
_Find: TypeAlias = Callable[[], Discovery]

RESULTS_AHEAD = 16
"""Results that may wait to be read; with more, no further transcript is completed."""


class RecordingResult(Struct, frozen=True):
    """How one recording ended.

    Attributes:
        path: as it was given, or below the given folder; a `Path`, or the `ObjectUrl` of an object,
            whose `str` is `s3://bucket/key`, as in `outputs` and `kept`.
        outcome: done, failed, left (run again to continue), taken (by another run) or cancelled.
        audio_s: its length in seconds.
        cached: nothing had to be sent for it.
        reason: why it is not done; empty if it is.
        outputs: the files that contain its transcript.
        kept: existing files that were not replaced, as they were edited or are not ours.
        transcript: its words and their times; None: there is none.
    """

    path: Location
    outcome: Outcome
    audio_s: float
    cached: bool
    reason: str
    outputs: tuple[Location, ...]
    kept: tuple[Location, ...]
    transcript: Transcript | None

    @property
    def text(self) -> str:
        return self.transcript.text if self.transcript is not None else ""


class Result(Generic[T]):
    """A pending result: `await` it in a coroutine, call `get` elsewhere."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.to_thread(self._work).__await__()

    def get(self) -> T:
        # In a notebook this thread already has a running loop.
        with ThreadPoolExecutor(1, thread_name_prefix="sttbatch") as thread:
            return thread.submit(self._work).result()


class _Run(threading.Thread):
    """One transcription, in an event loop that its reader can neither block nor cancel."""

    def __init__(self, settings: Settings, flags: RunFlags, find: _Find) -> None:
        # As a daemon it ends with the interpreter if the wait in `_finish_runs` is interrupted.
        super().__init__(name="sttbatch", daemon=True)
        key = load_key(settings) if settings.engine == "cloudru" else None
        listeners = [self._listen, _log_warning]
        self._batch = BatchRun(settings, key, listeners=listeners, observe=self._observe)
        self._settings, self._flags, self._find = settings, flags, find
        self._transcripts: dict[str, Transcript] = {}
        self._results: asyncio.Queue[RecordingResult | Exception | None] = asyncio.Queue()
        self._taken, self._stopped = asyncio.Event(), asyncio.Event()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(RuntimeError), self._runner:  # 3.12 starts no thread at its exit.
            self._runner.run(self._transcribe())

    def take(self) -> Future[RecordingResult | None]:
        """The next result; after the last one None, or the error that concerned all recordings."""
        return asyncio.run_coroutine_threadsafe(self._take(), self._loop)

    def leave(self) -> None:
        """Begin nothing new; the thread ends after requests in flight are stored."""
        with contextlib.suppress(RuntimeError):  # Its loop is closed, so it has ended.
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._batch.stop()
        self._stopped.set()
        self._taken.set()

    async def _transcribe(self) -> None:
        try:
            config = run_config_of(self._settings, self._flags)
            await self._batch.transcribe(self._find(), config, self._flags.priority)
            self._results.put_nowait(self._batch.report.fatal)
        except Exception as error:  # noqa: BLE001 - it is raised where results are read
            self._results.put_nowait(error)
        await self._stopped.wait()

    async def _take(self) -> RecordingResult | None:
        result = await self._results.get()
        self._taken.set()
        if isinstance(result, Exception):
            raise result
        return result

    async def _observe(self, document: Document) -> None:
        self._transcripts[document.source] = document.transcript
        while self._results.qsize() >= RESULTS_AHEAD and not self._stopped.is_set():
            self._taken.clear()
            await self._taken.wait()

    def _listen(self, event: Event) -> None:
        if isinstance(event, JobCompleted | JobFailed | JobSkipped):
            ended = self._batch.report.recordings[-1]
            path, transcript = ended.display_path, self._transcripts.pop(ended.display_path, None)
            outputs, kept = tuple(map(location, ended.outputs)), tuple(map(location, ended.kept))
            result = RecordingResult(
                location(path), ended.outcome, ended.audio_s, ended.cached, ended.reason,
                outputs, kept, transcript,
            )  # fmt: skip
            self._results.put_nowait(result)


def _log_warning(event: Event) -> None:
    if isinstance(event, Warned):
        text = f"{event.recording}: {event.message}" if event.recording else event.message
        logging.getLogger("sttbatch").warning("%s", text)


def _finish_runs() -> None:
    """Finish runs while executors still accept work; `atexit` would be too late."""
    runs = [thread for thread in threading.enumerate() if isinstance(thread, _Run)]
    for run in runs:
        run.leave()
    for run in runs:
        run.join()


threading._register_atexit(_finish_runs)  # type: ignore[attr-defined]  # noqa: SLF001


class Transcription:
    """Recordings as they end, for `for` and `async for`; each use transcribes again.

    Leaving the loop early begins nothing new; requests in flight are finished and stored. `for`
    waits for that, `async for` only with `contextlib.aclosing`, otherwise the end of the process.

    Raises:
        SttbatchError: after the recordings that could be done were yielded: EndpointError,
            BudgetReached or another error that concerns all of them.
    """

    def __init__(self, settings: Settings, flags: RunFlags, find: _Find) -> None:
        self._settings, self._flags, self._find = settings, flags, find

    async def __aiter__(self) -> AsyncIterator[RecordingResult]:
        run = _Run(self._settings, self._flags, self._find)
        try:
            while (result := await asyncio.wrap_future(run.take())) is not None:
                yield result
        finally:
            run.leave()
            await asyncio.to_thread(run.join)

    def __iter__(self) -> Iterator[RecordingResult]:
        run = _Run(self._settings, self._flags, self._find)
        try:
            while (result := run.take().result()) is not None:
                yield result
        finally:
            run.leave()
            run.join()

    def forecast(self) -> Result[BatchForecast]:
        """Estimate what it would send, and its cost, without sending."""
        run = BatchRun(self._settings, listeners=[_log_warning])
        config = run_config_of(self._settings, self._flags)
        return Result(lambda: asyncio.run(run.forecast(self._find(), config)))


class Client:
    """sttbatch with certain settings; keeps nothing open.

    Args:
        settings: by their names in the settings file, such as `language` or `data_dir`; all others
            come from the environment and the settings files.

    Raises:
        UsageError: an unknown setting, or an invalid value.
    """

    def __init__(self, **settings: Any) -> None:
        for name, value in settings.items():
            if name not in Settings.__struct_fields__:
                raise UsageError(f"there is no setting {name!r}")
            if isinstance(value, os.PathLike):
                settings[name] = os.fspath(value)
        self._settings = load_settings(settings).settings

    def transcribe(
        self,
        *paths: PathLike | Iterable[PathLike],
        force: bool = False,
        overwrite: bool = False,
        max_cost: float | None = None,
        min_age_s: float = 0.0,
        audio_stream: int | None = None,
        priority: str = "medium",
        no_wait: bool = False,
        fail_fast: bool = False,
    ) -> Transcription:
        """Transcribe recordings and folders of them, as `sttbatch transcribe` does.

        Args:
            paths: recordings, folders, glob patterns or `s3://bucket/prefix`, and lists or other
                iterables of them.
            force: send recordings again even if they are cached.
            overwrite: replace outputs that were edited.
            max_cost: send nothing beyond it, in the currency of the price setting.
            min_age_s: skip files modified less than so many seconds ago.
            audio_stream: index of the audio stream to use in each container; None: the one with
                speech, the default one first.
            priority: in the queue: high, medium or low.
            no_wait: skip recordings claimed by another run; their outcome is `taken`.
            fail_fast: start nothing new after the first failure.

        Raises UsageError without a path, or for an invalid value.
        """
        if (audio_stream or 0) < 0 or not (max_cost is None or max_cost >= 0):
            raise UsageError("audio_stream and max_cost must be 0 or more")
        level = JobPriority.__members__.get(priority.upper())
        if level is None:
            raise UsageError(f"priority is high, medium or low, not {priority!r}")
        named = [
            os.fspath(path)
            for given in paths
            for path in ([given] if isinstance(given, str | os.PathLike) else given)
        ]
        if not named:
            raise UsageError("give at least one recording or folder")

        def find() -> Discovery:
            return discover(expand(named), min_age_s, objects_of(self._settings))

        flags = RunFlags(audio_stream, force, overwrite, fail_fast, max_cost, False, no_wait, level)
        return Transcription(self._settings, flags, find)

    def jobs(self, status: JobStatus | None = None) -> Result[list[Job]]:
        """Running jobs, then the queue in its order, then ended jobs, newest first."""

        async def read() -> list[Job]:
            with opened_stores(self._settings) as stores:
                return await stores.jobs.list(status)

        return Result(lambda: asyncio.run(read()))

    def stats(self, since_s: float = 7 * 86_400.0) -> Result[Statistics]:
        """Work, cost, cache, waits and failures of the last `since_s` seconds."""

        async def read() -> Statistics:
            from sttbatch.monitoring.statistics import statistics

            now = time.time()
            with statistics_sources(self._settings) as sources:
                return await statistics(sources, Window(now - since_s, now))

        return Result(lambda: asyncio.run(read()))
