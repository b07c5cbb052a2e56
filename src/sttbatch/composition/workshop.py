"""The composition root: settings in, a batch with all its collaborators out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.caching.result_cache import ResultCache
from sttbatch.caching.spooling_ledger import SpoolingLedger
from sttbatch.composition.caches import open_caches
from sttbatch.composition.effective_options import RunFlags, adapts, run_config_of
from sttbatch.composition.engines import engine_of
from sttbatch.composition.ledgers import work_ledger
from sttbatch.composition.paths import ANSWERS, RATES
from sttbatch.composition.settings import Settings
from sttbatch.core.events import Emit, Warned
from sttbatch.core.work import Budgets
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.workers import LedgerWorkers
from sttbatch.execution.pay_once import PayOnce
from sttbatch.execution.run_budget import RunBudget
from sttbatch.external.secret import Secret
from sttbatch.kinds.transcription.chunk_transcriber import ChunkTranscriber
from sttbatch.kinds.transcription.concurrency_feedback import ConcurrencyFeedback
from sttbatch.kinds.transcription.endings import Writer
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.intake import Intake
from sttbatch.kinds.transcription.job_claims import JobClaims
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.recording_job import ChunkWork, Job
from sttbatch.kinds.transcription.report import BatchReport
from sttbatch.outputs.output_registry import OutputRegistry
from sttbatch.outputs.writer import OutputWriter
from sttbatch.outputs.written_outputs import WrittenOutputs
from sttbatch.processing.media.media_workers import WORKERS, MediaWorkers
from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency
from sttbatch.processing.scheduling.orchestrator import ParallelOrchestrator
from sttbatch.processing.scheduling.priority_semaphore import PrioritySemaphore
from sttbatch.queue.job_queue import JobQueue
from sttbatch.queue.liveness import FileLocks
from sttbatch.queue.work_claims import WorkClaims
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
    report: BatchReport,
    stdout: Writer | None,
) -> AsyncIterator[TranscriptionPipeline]:
    """A batch ready to run over the data folder `folder`. `stdout`: write there, not into files."""
    choices = run_config_of(settings, flags, to_stdout=stdout is not None)
    addresser = ContentAddresser(choices.request, choices.chunking.channels)
    outputs = SqlOutputStore(database)
    registry = OutputRegistry(outputs)
    workers = WorkerRegistry(LedgerWorkers(database), FileLocks(folder))
    orchestrator: ParallelOrchestrator[Job, ChunkWork] = ParallelOrchestrator(
        # One more than there are workers: it is claimed and planned while those are at work.
        PrioritySemaphore(choices.concurrency.value),
        WORKERS + 1,
    )
    async with (
        open_caches(settings, database, lambda message: emit(Warned("", message))) as caches,
        workers.registered() as worker,
        MediaWorkers(media.spool, count=1) as splitters,
        engine_of(settings, key, emit, choices.request.model, folder / RATES) as engine,
        # Closed before the worker leaves, which may need the room that was reserved.
        contextlib.aclosing(
            ResponseSpool(folder / ANSWERS, choices.concurrency.value)
        ) as answer_spool,
    ):
        caches.disk.start()
        budgets = Budgets(settings.budget_per_day, settings.budget_per_month)
        ledger = SpoolingLedger(
            work_ledger(database, caches.ledger, worker.id, budgets), answer_spool
        )
        spans = SqlChunkIndex(database, caches.ledger)
        results = ResultCache(caches.levels, spans, ledger, choices.request)
        # After the worker came: what runs that are over had reserved is accounted for by then.
        await ledger.recover_spooled()
        answers = ChunkTranscriber(
            engine=engine,
            pay_once=PayOnce(
                caches.levels,
                ledger,
                spans,
                WorkClaims(ledger, workers),
                RunBudget(choices.run.max_cost),
                closed=lambda: orchestrator.closed,
                stopped=orchestrator.stopped,
                force=choices.run.force,
            ),
            results=results,
            addresser=addresser,
            splitters=splitters,
            config=choices,
            observe=ConcurrencyFeedback(
                orchestrator,
                AdaptiveConcurrency(choices.concurrency.value) if adapts(settings) else None,
                emit,
            ).observe,
            emit=emit,
            report=report,
        )
        preparation = Intake(
            Fingerprinter(SqlFileIndex(database)),
            results,
            addresser,
            media,
            stream=flags.audio_stream,
            audit_mode=choices.run.audit_mode,
            force=flags.force,
            stopping=lambda: orchestrator.closed,
            emit=emit,
        )
        yield TranscriptionPipeline(
            choices,
            preparation=preparation,
            engine=engine,
            answers=answers,
            auditing=GapRepair(answers, results, addresser, splitters, choices.run, emit),
            results=results,
            claims=JobClaims(
                JobQueue(LedgerJobs(database), workers),
                worker,
                config=choices,
                request_sha256=addresser.job_sha256,
                priority=flags.priority,
            ),
            addresser=addresser,
            up_to_date=None if stdout is not None else WrittenOutputs(outputs),
            media=media,
            registry=registry,
            writer=stdout or OutputWriter(registry),
            orchestrator=orchestrator,
            emit=emit,
            report=report,
        )
