"""The composition root: settings in, a batch with all its collaborators out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.file_index import FileIndex
from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.caching.result_cache import ResultCache
from sttbatch.composition.caches import open_caches
from sttbatch.composition.effective_options import RunFlags, adapts, run_config_of
from sttbatch.composition.engines import engine_of
from sttbatch.composition.paths import ANSWERS, RATES
from sttbatch.composition.settings import Settings
from sttbatch.core.events import Emit, Warned
from sttbatch.database.database import Database
from sttbatch.external.secret import Secret
from sttbatch.kinds.transcription.chunk_planning import ChunkPlanner
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber
from sttbatch.kinds.transcription.completion import Completion, OutputServices, Writer
from sttbatch.kinds.transcription.concurrency_feedback import ConcurrencyFeedback
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline, TranscriptionServices
from sttbatch.kinds.transcription.recording_job import Lanes
from sttbatch.kinds.transcription.run_control import RunControl
from sttbatch.outputs.names import OutputRegistry
from sttbatch.outputs.up_to_date import UpToDate
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.media.media_workers import WORKERS, MediaWorkers
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.queue.budgets import Budgets
from sttbatch.queue.chunk_claims import ChunkClaims
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.worker import WorkerRegistry


@contextlib.asynccontextmanager
async def open_batch(
    settings: Settings,
    flags: RunFlags,
    folder: Path,
    database: Database,
    media: MediaWorkers,
    key: Secret | None,
    emit: Emit,
    stdout: Writer | None,
) -> AsyncIterator[TranscriptionPipeline]:
    """A batch ready to run over the data folder `folder`. `stdout`: write there, not into files."""
    config = run_config_of(settings, flags, to_stdout=stdout is not None)
    addresser = ContentAddresser(config.request, config.chunking.channels)
    registry = OutputRegistry(database)
    workers = WorkerRegistry(database, folder)
    lanes: Lanes = ParallelOrchestrator(
        # One more than there are workers: it is claimed and planned while those are at work.
        config.concurrency,
        WORKERS + 1,
    )
    async with (
        open_caches(settings, database, lambda message: emit(Warned("", message))) as caches,
        workers.registered() as worker,
        MediaWorkers(media.spool, count=1) as splitters,
        engine_of(settings, key, emit, config.request.model, folder / RATES) as engine,
        # Closed before the worker leaves, which may need the room that was reserved.
        contextlib.aclosing(
            ResponseSpool(folder / ANSWERS, config.concurrency.value)
        ) as answer_spool,
    ):
        caches.disk.start()
        results = ResultCache(
            caches.levels,
            caches.ledger,
            config.request,
            config.run.price_per_second,
            answer_spool,
        )
        # After the worker came: what runs that are over had reserved is accounted for by then.
        await results.recover()
        transcriber = ChunkTranscriber(
            engine=engine,
            results=results,
            claims=ChunkClaims(
                database,
                workers,
                worker,
                engine=config.request.engine,
                model=config.request.model,
                budgets=Budgets(settings.budget_per_day, settings.budget_per_month),
            ),
            closed=lambda: lanes.closed,
            pacing=ConcurrencyFeedback(
                lanes,
                AdaptiveConcurrency(config.concurrency.value) if adapts(settings) else None,
                emit,
            ),
            addresser=addresser,
            splitters=splitters,
            request=config.request,
            chunking=config.chunking,
            run=config.run,
            emit=emit,
        )
        control = RunControl(lanes, engine, emit, fail_fast=config.run.fail_fast)
        claims = JobClaims(
            database,
            workers,
            worker,
            request=config.request,
            stream=flags.audio_stream,
            request_sha256=addresser.job_sha256,
            priority=flags.priority,
        )
        outputs = OutputServices(
            registry,
            stdout or OutputWriter(registry),
            None if stdout is not None else UpToDate(database),
        )
        index = FileIndex(database)
        repair = GapRepair(transcriber, results, addresser, splitters, config.run, emit)
        services = TranscriptionServices(
            Intake(
                config, index, results, addresser, media, registry, lambda: control.closed, emit
            ),
            JobQueue(database, workers),
            claims,
            ChunkPlanner(config, engine, results, addresser, repair, emit),
            media,
            transcriber,
            repair,
            Completion(config, results, claims, outputs, control, emit),
        )
        yield TranscriptionPipeline(config, services, lanes, control, emit)
