"""A run over a real ledger, real recordings and real media workers; the test is the engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.file_index import FileIndex
from sttbatch.caching.ledger_level import LedgerLevel
from sttbatch.caching.memory_level import MemoryLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core.engine import Answer, APIRequest, RecordRequest
from sttbatch.core.events import Event
from sttbatch.core.models import ConcurrencyLimit, Segment, Transcription, Upload, Word
from sttbatch.core.options import (
    MIB,
    ChunkingOptions,
    OutputOptions,
    RequestOptions,
    RunOptions,
)
from sttbatch.database.database import Database
from sttbatch.database.opening import open_ledger
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber
from sttbatch.kinds.transcription.completion import Completion, OutputServices, Writer
from sttbatch.kinds.transcription.concurrency_feedback import ConcurrencyFeedback
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline, TranscriptionServices
from sttbatch.kinds.transcription.recording_job import Lanes
from sttbatch.kinds.transcription.report import BatchReport
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.kinds.transcription.run_control import RunControl
from sttbatch.outputs.names import OutputRegistry
from sttbatch.outputs.up_to_date import UpToDate
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.discovery import discover
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.queue.chunk_claims import ChunkClaims
from sttbatch.queue.job import JobPriority
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.worker import WorkerRegistry
from tests.cloudru import hear

REQUEST = RequestOptions("cloudru", "https://endpoint", "whisper")
CONFIG = RunConfig(
    REQUEST,
    ChunkingOptions(),
    OutputOptions(formats=("json",)),
    RunOptions(),
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
    """

    before: Callable[[Upload], Awaitable[None]] = at_once
    lost: tuple[float, float] = (0.0, 0.0)
    losing_s: float = 30.0
    sent: list[Upload] = field(default_factory=list)
    timestamps: bool = True
    longest_s: float | None = None

    async def transcribe(
        self, upload: Upload, options: RequestOptions, record: RecordRequest
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

    def stop(self) -> None:
        """It never waits."""

    async def aclose(self) -> None: ...


@dataclass
class Harness:
    """One run, and what it works with."""

    pipeline: TranscriptionPipeline
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
    writer: Writer | None = None,
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

    addresser = ContentAddresser(REQUEST, config.chunking.channels)
    lanes: Lanes = ParallelOrchestrator(config.concurrency, cutters)
    with contextlib.closing(open_ledger(folder)) as database:
        workers = WorkerRegistry(database, folder)
        ledger = LedgerLevel(database)
        cache = MultiLevelCache((MemoryLevel(MIB),), ledger)
        results = ResultCache(cache, ledger, REQUEST, config.run.price_per_second)
        registry = OutputRegistry(database)
        control = RunControl(lanes, engine, emit, fail_fast=config.run.fail_fast)
        async with (
            workers.registered() as worker,
            MediaWorkers(spool) as media,
            MediaWorkers(spool, count=1) as splitters,
        ):
            transcriber = ChunkTranscriber(
                engine=engine,
                results=results,
                claims=ChunkClaims(database, workers, worker, engine="cloudru", model="whisper"),
                closed=lambda: lanes.closed,
                pacing=ConcurrencyFeedback(lanes, None, emit),
                addresser=addresser,
                splitters=splitters,
                request=REQUEST,
                chunking=config.chunking,
                run=config.run,
                emit=emit,
            )
            claims = JobClaims(
                database,
                workers,
                worker,
                request=REQUEST,
                stream=0,
                request_sha256=addresser.job_sha256,
                priority=JobPriority.MEDIUM,
            )
            index, queue = FileIndex(database), JobQueue(database, workers)
            outputs = OutputServices(registry, writer or OutputWriter(registry), UpToDate(database))
            repair = GapRepair(transcriber, results, addresser, splitters, config.run, emit)
            services = TranscriptionServices(
                Intake(
                    config, index, results, addresser, media, registry, lambda: lanes.closed, emit
                ),
                queue,
                claims,
                ChunkPlanner(config, engine, results, addresser, repair, emit),
                media,
                transcriber,
                repair,
                Completion(config, results, claims, outputs, control, emit),
            )
            pipeline = TranscriptionPipeline(config, services, lanes, control, emit)
            run = Harness(pipeline, database, queue, results, report, [])
            yield run
