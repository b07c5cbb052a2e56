"""The public Python API: what the command line does, for notebooks and other programs."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sttbatch.composition.batch_run import BatchRun
from sttbatch.composition.credentials import load_key
from sttbatch.composition.effective_options import RunFlags, run_config_of
from sttbatch.composition.settings import Settings, load_settings
from sttbatch.composition.stores import opened_ledger, statistics_sources
from sttbatch.core.errors import UsageError
from sttbatch.core.events import Event, JobCompleted, JobFailed, JobSkipped
from sttbatch.core.jobs import Job, JobStatus
from sttbatch.core.metrics import Window
from sttbatch.core.models import Transcript
from sttbatch.kinds.transcription.report import Outcome
from sttbatch.processing.discovery import Discovery, discover, expand

if TYPE_CHECKING:
    from sttbatch.monitoring.statistics import Statistics
    from sttbatch.outputs.document import Document

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """How one recording ended.

    Attributes:
        path: as it was given, or below the folder that was given.
        outcome: done, failed, left (run again to go on), taken (by another run) or cancelled.
        audio_s: its length in seconds.
        cached: nothing had to be sent for it.
        reason: why it is not done; empty where it is.
        outputs: the files that now hold its transcript.
        transcript: its words and their times; None where there are none to have.
    """

    path: Path
    outcome: Outcome
    audio_s: float
    cached: bool
    reason: str
    outputs: tuple[Path, ...]
    transcript: Transcript | None

    @property
    def text(self) -> str:
        return self.transcript.text if self.transcript is not None else ""


class Result(Generic[T]):
    """Something to wait for: `await` it in a coroutine, call `get` anywhere else."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, None, T]:
        return self._work().__await__()

    def get(self) -> T:
        return asyncio.run(self._work())


class Transcription:
    """Recordings as they end, for `for` and for `async for`; each use transcribes again.

    Leaving the loop early begins nothing new; what is in flight is finished and stored.

    Raises:
        SttbatchError: while it is iterated over, once the recordings that could be done are:
            EndpointError, BudgetReached and whatever else concerns all of them.
    """

    def __init__(
        self, settings: Settings, flags: RunFlags, discovery: Callable[[], Discovery]
    ) -> None:
        self._settings = settings
        self._flags = flags
        self._discovery = discovery

    async def __aiter__(self) -> AsyncIterator[RecordingResult]:
        ended: asyncio.Queue[RecordingResult | None] = asyncio.Queue()
        run = self._run(ended.put_nowait)
        config = run_config_of(self._settings, self._flags)
        transcribing = asyncio.create_task(run.transcribe(self._discovery(), config))
        transcribing.add_done_callback(lambda _: ended.put_nowait(None))
        try:
            while (result := await ended.get()) is not None:
                yield result
        finally:
            run.stop()
            await transcribing
        if run.report.fatal is not None:
            raise run.report.fatal

    def __iter__(self) -> Iterator[RecordingResult]:
        ended: queue.SimpleQueue[RecordingResult | Exception | None] = queue.SimpleQueue()
        leaving = threading.Event()

        async def transcribe() -> None:
            async with contextlib.aclosing(self.__aiter__()) as results:  # type: ignore[type-var]
                async for result in results:
                    ended.put(result)
                    if leaving.is_set():
                        return

        def work() -> None:
            try:
                asyncio.run(transcribe())
            except Exception as error:  # noqa: BLE001 - it is raised where results are awaited
                ended.put(error)
            ended.put(None)

        # Requests in flight must not wait until the next result is asked for.
        thread = threading.Thread(target=work, name="sttbatch", daemon=True)
        thread.start()
        try:
            while (result := ended.get()) is not None:
                if isinstance(result, Exception):
                    raise result
                yield result
        finally:
            leaving.set()
            thread.join()

    def _run(self, report: Callable[[RecordingResult], object]) -> BatchRun:
        key = load_key(self._settings) if self._settings.engine == "cloudru" else None
        transcripts: dict[str, Transcript] = {}

        def observe(document: Document) -> None:
            transcripts[document.source] = document.transcript

        def listen(event: Event) -> None:
            if isinstance(event, JobCompleted | JobFailed | JobSkipped):
                ended = run.report.recordings[-1]
                report(
                    RecordingResult(
                        Path(ended.display_path),
                        ended.outcome,
                        ended.audio_s,
                        ended.cached,
                        ended.reason,
                        tuple(map(Path, ended.outputs)),
                        transcripts.pop(ended.display_path, None),
                    )
                )

        run = BatchRun(self._settings, key, listeners=[listen], observe=observe)
        return run


class Client:
    """sttbatch with certain settings; holds nothing open.

    Args:
        settings: by their names in the settings file, such as `language` or `data_dir`; they are
            stronger than environment and settings files, which count for all others.

    Raises:
        UsageError: an unknown setting, or a bad value.
    """

    def __init__(self, **settings: Any) -> None:
        unknown = sorted(settings.keys() - set(Settings.__struct_fields__))
        if unknown:
            raise UsageError(f"there is no setting {unknown[0]!r}")
        self._settings = load_settings(settings).settings

    def transcribe(
        self,
        *paths: str | Path,
        force: bool = False,
        overwrite: bool = False,
        max_cost: float | None = None,
        min_age_s: float = 0.0,
    ) -> Transcription:
        """Transcribe recordings and folders of them, as `sttbatch transcribe` does.

        Args:
            paths: recordings, folders or glob patterns.
            force: send what is stored, too.
            overwrite: replace outputs that were edited.
            max_cost: in the currency of the price setting; nothing is sent beyond it.
            min_age_s: files that were modified more recently are passed over.
        """

        def discovery() -> Discovery:
            try:
                return discover(list(expand([str(path) for path in paths])), min_age_s)
            except FileNotFoundError as error:
                raise UsageError(f"{error.filename}: no such file or folder") from error

        flags = RunFlags(force=force, overwrite=overwrite, max_cost=max_cost)
        return Transcription(self._settings, flags, discovery)

    def jobs(self, status: JobStatus | None = None) -> Result[list[Job]]:
        """The jobs of the ledger, running ones first, then the queue, then the last to end."""

        async def read() -> list[Job]:
            from sttbatch.database.jobs import LedgerJobs

            with opened_ledger(self._settings) as database:
                return await LedgerJobs(database).list(status)

        return Result(read)

    def stats(self, since_s: float = 7 * 86_400.0) -> Result[Statistics]:
        """Work, money, cache, waits and failures of the last `since_s` seconds."""

        async def read() -> Statistics:
            from sttbatch.monitoring.statistics import statistics

            now = time.time()
            with statistics_sources(self._settings) as sources:
                return await statistics(sources, Window(now - since_s, now))

        return Result(read)
