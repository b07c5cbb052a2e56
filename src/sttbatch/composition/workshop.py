"""Workshop: what a process opens once and its runs share; creates the pipeline of a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from weakref import WeakSet

from msgspec import Struct, field

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.caching.result_cache import ResultCache
from sttbatch.composition.background_indexer import BackgroundIndexer
from sttbatch.composition.effective_options import adapts, lanes_of
from sttbatch.composition.engines import Engines, open_engines
from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import (
    ANSWERS,
    Caches,
    open_caches,
    this_host,
    work_ledger,
    worker_registry,
)
from sttbatch.core.errors import StateError
from sttbatch.core.events import Emit, Warned
from sttbatch.core.jobs import JobPriority, Worker, WorkerLoad
from sttbatch.core.models import Transcript
from sttbatch.core.orders import Assignment
from sttbatch.core.work import Budgets
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.opening import stop_waiting
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.speaker_names import SqlSpeakerNames
from sttbatch.execution.pay_once import PayOnce, RunBudget
from sttbatch.external.secret import Secret
from sttbatch.kinds.run_control import Refusals, RunControl
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_processing import ChunkProcessor
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber
from sttbatch.kinds.transcription.completion import Completion
from sttbatch.kinds.transcription.fetched_objects import FetchedObjects
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.recording_job import Lanes
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.outputs.document import Document
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.owned_names import OwnedNames
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.adaptive_concurrency import (
    AdaptiveConcurrency,
    concurrency_feedback,
    expecting,
)
from sttbatch.processing.scheduling.orchestrator import (
    CHUNKS_AHEAD,
    ParallelOrchestrator,
    PrioritySemaphore,
)
from sttbatch.queue.job_queue import JobQueue, WorkClaims
from sttbatch.queue.worker import WorkerRegistry

UPKEEP_S = 60.0
"""Seconds between the upkeep tasks of a long-lived process."""


class Workshop(Struct, frozen=True):
    """What all runs of a process share; it may live for months.

    Attributes:
        media: worker processes that probe and cut recordings.
        splitters: the worker process that measures and cuts uploads.
        lanes: of all runs together.
        adaptive: adapts the number of lanes; None: it does not change.
        host: this machine, if several share the ledger.
        slots: of the chunks of all runs together that are cut and not answered.
        owned_names: of outputs, as the ledger had them lately.
        refusals: what the endpoint forbids in any run.
        fetched: recordings of buckets that are on the disk for a while.
        on_transcript: is called with each transcript that is stored, and its key.
        runs: those that are not over, which end when others may take this process for dead.
    """

    database: Database
    caches: Caches
    claims: WorkClaims
    spool: ResponseSpool
    workers: WorkerRegistry
    worker: Worker
    engines: Engines
    media: MediaWorkers
    splitters: MediaWorkers
    lanes: PrioritySemaphore
    adaptive: AdaptiveConcurrency | None = None
    host: str = ""
    slots: PrioritySemaphore | None = None
    owned_names: OwnedNames | None = None
    refusals: Refusals = field(default_factory=Refusals)
    runs: WeakSet[RunControl] = field(default_factory=WeakSet)
    fetched: FetchedObjects | None = None
    on_transcript: Callable[[str, Transcript], None] = lambda key, transcript: None


@contextlib.asynccontextmanager
async def open_workshop(
    settings: Settings,
    folder: Path,
    database: Database,
    media: MediaWorkers,
    key: Secret | None,
    emit: Emit,
    *,
    load: Callable[[], WorkerLoad | None] | None = None,
    on_lost: Callable[[StateError], None] = lambda _: None,
) -> AsyncIterator[Workshop]:
    """Open a workshop over the data folder `folder`; raises StateError if it cannot be used.

    `load` is that of a worker, for its heartbeats. `on_lost` is called when others may take this
    process for dead, and all of its runs end.
    """
    concurrency = lanes_of(settings)
    workers = worker_registry(settings, database)
    workers.load = load
    runs = WeakSet[RunControl]()

    def warn(message: str) -> None:
        emit(Warned("", message))

    def lost(error: StateError) -> None:
        for run in runs:
            run.abort(error)
        # Others do what it does: it only has to end.
        stop_waiting(settings.database_url)
        on_lost(error)

    async with (
        open_engines(settings, key, emit, folder) as engines,
        open_caches(settings, database, warn) as caches,
        workers.registered(lost) as worker,
        MediaWorkers(media.spool, count=1) as splitters,
        # Closed before the worker ends, which may need the reserved disk space.
        contextlib.aclosing(ResponseSpool(folder / ANSWERS, concurrency)) as spool,
        contextlib.aclosing(BackgroundIndexer(settings, database, warn)) as indexer,
    ):
        caches.l2.start()
        indexer.create()
        budgets = Budgets(settings.budget_per_day, settings.budget_per_month)
        claims = WorkClaims(work_ledger(database, caches.ledger, worker.id, budgets), workers)
        # After the worker was registered, which reaps dead ones and books their reservations.
        await spool.recover_into(claims.ledger)
        workshop = Workshop(
            database,
            caches,
            claims,
            spool,
            workers,
            worker,
            engines,
            media,
            splitters,
            PrioritySemaphore(concurrency),
            AdaptiveConcurrency(concurrency) if adapts(settings) else None,
            this_host(settings),
            PrioritySemaphore(concurrency + CHUNKS_AHEAD),
            OwnedNames(SqlOutputStore(database, this_host(settings))),
            runs=runs,
            fetched=FetchedObjects(objects_of(settings), media.spool),
            on_transcript=indexer.add,
        )
        keeping_up = asyncio.create_task(_keep_up(workshop, emit))
        try:
            yield workshop
        finally:
            keeping_up.cancel()
            await asyncio.wait([keeping_up])


async def _keep_up(workshop: Workshop, emit: Emit) -> None:
    while True:
        await asyncio.sleep(UPKEEP_S)
        await keep_up(workshop, emit)


async def keep_up(workshop: Workshop, emit: Emit) -> None:
    """Run the tasks of each minute; those that fail are tried again a minute later."""
    levels = workshop.caches.levels
    due: list[Callable[[], Awaitable[object]]] = [
        levels.flush,
        lambda: workshop.spool.recover_into(workshop.claims.ledger),
        workshop.workers.end_pending_claims,
        workshop.workers.sweep,
        *(level.delete_expired for level in levels.levels),
    ]
    for each in due:
        try:
            await each()
        except StateError:
            continue
        except Exception as error:  # noqa: BLE001 - a bug in one must not end the others
            emit(Warned("", f"the databases' upkeep failed: {type(error).__name__}: {error}"))


def transcription_run(
    workshop: Workshop,
    config: RunConfig,
    emit: Emit,
    *,
    priority: JobPriority = JobPriority.MEDIUM,
    observe: Callable[[Document], Awaitable[None]] | None = None,
    cutters: int | None = None,
    assigned: Assignment | None = None,
    budget: RunBudget | None = None,
) -> TranscriptionPipeline:
    """The pipeline of one run, which cuts up to `cutters` recordings at the same time.

    By default they are one more than the media workers, to claim and plan while those are cutting.

    `observe` receives each document after its outputs were written. `assigned` is the only job of
    a worker's run. `budget` is that of several runs together; None: this one has its own.
    """
    emit = expecting(workshop.lanes, workshop.adaptive, emit)
    database, levels = workshop.database, workshop.caches.levels
    addresser = ContentAddresser(config.request, config.chunking.channels)
    spans, ledger = SqlChunkIndex(database, workshop.caches.ledger), workshop.claims.ledger
    results = ResultCache(levels, config.request, workshop.on_transcript)
    if cutters is None:
        cutters = workshop.media.count + 1
    lanes: Lanes = ParallelOrchestrator(workshop.lanes, cutters, workshop.slots)
    control = RunControl(lanes, emit, fail_fast=config.run.fail_fast, refusals=workshop.refusals)
    workshop.runs.add(control)
    transcriber = ChunkTranscriber(
        engine=workshop.engines.engine,
        pay_once=PayOnce(
            cache=levels,
            claims=workshop.claims,
            spool=workshop.spool,
            spans=spans,
            budget=budget or RunBudget(config.run.max_cost),
            closed=lambda: control.closed,
            stopped=lanes.stopped,
            force=config.run.force,
        ),
        results=results,
        addresser=addresser,
        splitters=workshop.splitters,
        config=config,
        observe=concurrency_feedback(workshop.lanes, workshop.adaptive, emit),
        emit=emit,
    )
    queue = JobQueue(LedgerJobs(database), workshop.workers)
    claims = JobClaims(
        queue,
        workshop.worker,
        config=config,
        request_sha256=addresser.job_sha256,
        priority=priority,
        assigned=assigned,
    )
    fetched = workshop.fetched
    registry = OutputRegistry(
        SqlOutputStore(database, workshop.host),
        workshop.owned_names,
        fetched.objects if fetched is not None else None,
    )
    repair = GapRepair(transcriber, results, addresser, config.run, emit)
    return TranscriptionPipeline(
        config,
        Intake(
            config,
            Fingerprinter(SqlFileIndex(database)),
            results,
            addresser,
            # A worker's long cuts must not keep the next recordings waiting for their headers.
            workshop.media if assigned is None else workshop.splitters,
            registry,
            lambda: control.closed,
            emit,
            fetched,
        ),
        claims,
        ChunkPlanner(
            config,
            workshop.engines.engine,
            spans,
            ledger,
            addresser,
            repair,
            workshop.media,
            emit,
            beside_s=assigned.next_s if assigned is not None else (),
        ),
        ChunkProcessor(transcriber, repair, control),
        Completion(
            config,
            results,
            claims,
            OutputWriter(registry, observe, workshop.media.spool),
            SqlSpeakerNames(database),
            control,
            emit,
        ),
        control,
    )
