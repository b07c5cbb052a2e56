"""A run over a real ledger, real recordings and real media workers; the test is the engine."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.caching.result_cache import ResultCache
from sttbatch.composition.engines import DeferredModels, Engines
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import ANSWERS, open_caches, work_ledger
from sttbatch.composition.workshop import Workshop, transcription_run
from sttbatch.core.engine import Answer, APIRequest, RecordRequest
from sttbatch.core.events import Event, Warned
from sttbatch.core.models import ConcurrencyLimit, Segment, Transcription, Upload, Word
from sttbatch.core.options import ChunkingOptions, OutputOptions, RequestOptions, RunOptions
from sttbatch.database.database import Database
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger
from sttbatch.database.workers import LedgerWorkers
from sttbatch.external.cloudru.endpoint import Endpoint
from sttbatch.kinds.report import BatchReport
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.outputs.document import Document
from sttbatch.processing.discovery import discover
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.orchestrator import PrioritySemaphore
from sttbatch.queue.job_queue import JobQueue, WorkClaims
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.worker import WorkerRegistry
from tests.cloudru import hear

REQUEST = RequestOptions("cloudru", "https://endpoint", "whisper")
CONFIG = RunConfig(
    REQUEST,
    ChunkingOptions(),
    OutputOptions(formats=("json",)),
    # Words are tones here, which are no speech to a detector.
    RunOptions(vad=False),
    ConcurrencyLimit(2),
)


async def at_once(_: Upload) -> None:
    """An engine that keeps nobody waiting."""


@dataclass
class FakeEngine:
    """Hears what recordings say.

    Attributes:
        before: awaited between hearing an upload and answering.
        lost: seconds of an upload of `losing_s` and more whose words it leaves out, from and to.
        is_prepared: it was told that it will be asked.
    """

    before: Callable[[Upload], Awaitable[None]] = at_once
    lost: tuple[float, float] = (0.0, 0.0)
    losing_s: float = 30.0
    sent: list[Upload] = field(default_factory=list)
    timestamps: bool = True
    longest_s: float | None = None
    is_prepared: bool = False

    def prepare(self, requests: int) -> None:
        del requests
        self.is_prepared = True

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        assert options == REQUEST
        self.sent.append(upload)
        with upload.open() as file:
            heard = hear(file.read()).words
        low_s, high_s = self.lost if upload.duration_s >= self.losing_s else (0.0, 0.0)
        words = [Word(w.text, w.start_s, w.end_s) for w in heard]
        said = [w for w in words if not low_s <= w.start_s < high_s]
        segments = tuple(Segment(w.text, w.start_s, w.end_s, (w,)) for w in said)
        await self.before(upload)
        post = APIRequest(time.time(), 1, 200, 0.1, upload.size_bytes, upload.duration_s, paid=True)
        text = " ".join(word.text for word in said)
        return Answer(Transcription(text, segments, "en"), post, "verbose_json")


def no_endpoint() -> Endpoint:
    raise AssertionError("a transcription asks no language model")


@dataclass
class Harness:
    """One run, and what it works with."""

    pipeline: TranscriptionPipeline
    workshop: Workshop
    database: Database
    queue: JobQueue
    results: ResultCache
    report: BatchReport
    events: list[Event]

    async def transcribe(self, *paths: Path) -> BatchReport:
        await self.pipeline.run(discover(paths))
        return self.report


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    engine: FakeEngine,
    *,
    config: RunConfig = CONFIG,
    observe: Callable[[Document], Awaitable[None]] | None = None,
    listener: Callable[[Harness, Event], None] = lambda _run, _event: None,
    cutters: int = 2,
) -> AsyncIterator[Harness]:
    """State in `folder`, as the command line would open it; to be entered once for each run."""
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    report = BatchReport()

    def emit(event: Event) -> None:
        run.events.append(event)
        report(event)
        listener(run, event)

    def warn(message: str) -> None:
        emit(Warned("", message))

    settings = Settings(cache_dir=str(folder / "cache"), concurrency=config.concurrency.value)
    with contextlib.closing(open_ledger(folder)) as database:
        workers = WorkerRegistry(LedgerWorkers(database), FileLocks(folder))
        async with (
            open_caches(settings, database, warn) as caches,
            workers.registered() as worker,
            MediaWorkers(spool) as media,
            MediaWorkers(spool, count=1) as splitters,
            contextlib.aclosing(
                ResponseSpool(folder / ANSWERS, config.concurrency.value)
            ) as answers,
        ):
            workshop = Workshop(
                database,
                caches,
                WorkClaims(work_ledger(database, caches.ledger, worker.id), workers),
                answers,
                workers,
                worker,
                Engines(engine, DeferredModels(no_endpoint)),
                media,
                splitters,
                PrioritySemaphore(config.concurrency.value),
            )
            pipeline = transcription_run(workshop, config, emit, observe=observe, cutters=cutters)
            queue = JobQueue(LedgerJobs(database), workers)
            results = ResultCache(caches.levels, REQUEST)
            run = Harness(pipeline, workshop, database, queue, results, report, [])
            yield run


def refuse(folder: Path, what: str, when: str = "1") -> None:
    """Have the ledger refuse something, as a full disk would."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        ledger.execute(
            f"CREATE TRIGGER refused BEFORE {what} WHEN {when} "
            "BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
        )


def allow(folder: Path) -> None:
    """Have the ledger take what it refused."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        ledger.execute("DROP TRIGGER refused")
