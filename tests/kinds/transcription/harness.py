"""A batch over a real ledger, real recordings and real media workers; the test is the engine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.memory_level import MemoryLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.result_cache import ResultCache
from sttbatch.composition.ledgers import work_ledger
from sttbatch.core.engine import Answer, APIRequest, RecordRequest
from sttbatch.core.events import Event
from sttbatch.core.jobs import JobPriority
from sttbatch.core.models import ConcurrencyLimit, Segment, Transcription, Upload, Word
from sttbatch.core.options import (
    MIB,
    ChunkingOptions,
    OutputOptions,
    RequestOptions,
    RunOptions,
)
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import open_ledger
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.results import SqlResultStore
from sttbatch.database.workers import LedgerWorkers
from sttbatch.execution.pay_once import PayOnce
from sttbatch.execution.run_budget import RunBudget
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber
from sttbatch.kinds.transcription.concurrency_feedback import ConcurrencyFeedback
from sttbatch.kinds.transcription.endings import Writer
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.recording_job import ChunkWork, Job
from sttbatch.kinds.transcription.report import BatchReport
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter
from sttbatch.outputs.written_outputs import WrittenOutputs
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.processing.scheduling.priority_semaphore import PrioritySemaphore
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.work_claims import WorkClaims
from sttbatch.queue.worker import WorkerRegistry
from tests.cloudru import hear

REQUEST = RequestOptions("cloudru", "https://endpoint", "whisper")
CHOICES = RunConfig(
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

    async def aclose(self) -> None: ...


@dataclass
class Room:
    """One run's batch, and what it works with."""

    batch: TranscriptionPipeline
    database: Database
    results: ResultCache
    report: BatchReport
    events: list[Event]


@contextlib.asynccontextmanager
async def room(
    folder: Path,
    ear: FakeEngine,
    *,
    choices: RunConfig = CHOICES,
    writer: Writer | None = None,
    emit: Callable[[Event], None] | None = None,
) -> AsyncIterator[Room]:
    """State in `folder`, as the command line would open it; to be entered once for each run."""
    spool = folder / "spool"
    spool.mkdir(exist_ok=True)
    events: list[Event] = []
    emit = emit or events.append
    report = BatchReport()
    run, chunking = choices.run, choices.chunking
    addresser = ContentAddresser(REQUEST, chunking.channels)
    lanes = ParallelOrchestrator[Job, ChunkWork](PrioritySemaphore(choices.concurrency.value), 2)
    with contextlib.closing(open_ledger(folder)) as database:
        workers = WorkerRegistry(LedgerWorkers(database), FileLocks(folder))
        ledger = SqlResultStore(database)
        cache = MultiLevelCache((MemoryLevel(MIB),), ledger)
        spans = SqlChunkIndex(database, ledger)
        registry = OutputRegistry(SqlOutputStore(database))
        async with (
            workers.registered() as worker,
            MediaWorkers(spool) as media,
            MediaWorkers(spool, count=1) as splitters,
        ):
            work = work_ledger(database, ledger, worker.id)
            results = ResultCache(cache, spans, work, REQUEST)
            answers = ChunkTranscriber(
                engine=ear,
                pay_once=PayOnce(
                    cache,
                    work,
                    spans,
                    WorkClaims(work, workers),
                    RunBudget(run.max_cost),
                    closed=lambda: lanes.closed,
                    stopped=lanes.stopped,
                    force=run.force,
                ),
                results=results,
                addresser=addresser,
                splitters=splitters,
                config=choices,
                observe=ConcurrencyFeedback(lanes, None, emit).observe,
                emit=emit,
                report=report,
            )
            batch = TranscriptionPipeline(
                choices,
                preparation=Intake(
                    Fingerprinter(SqlFileIndex(database)),
                    results,
                    addresser,
                    media,
                    stream=0,
                    audit_mode=run.audit_mode,
                    force=run.force,
                    stopping=lambda: lanes.closed,
                    emit=emit,
                ),
                engine=ear,
                answers=answers,
                auditing=GapRepair(answers, results, addresser, splitters, run, emit),
                results=results,
                claims=JobClaims(
                    JobQueue(LedgerJobs(database), workers),
                    worker,
                    config=choices,
                    request_sha256=addresser.job_sha256,
                    priority=JobPriority.MEDIUM,
                ),
                up_to_date=WrittenOutputs(SqlOutputStore(database)),
                addresser=addresser,
                media=media,
                registry=registry,
                writer=writer or OutputWriter(registry),
                orchestrator=lanes,
                emit=emit,
                report=report,
            )
            yield Room(batch, database, results, report, events)
