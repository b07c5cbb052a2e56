"""The composition root: settings in, a batch with all its collaborators out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from sttbatch.batch.answers import ChunkAnswers
from sttbatch.batch.auditing import Auditing
from sttbatch.batch.claims import JobClaims
from sttbatch.batch.endings import Writer
from sttbatch.batch.job import ChunkWork, Job
from sttbatch.batch.pacing import Pacing
from sttbatch.batch.preparation import Preparation
from sttbatch.batch.report import BatchReport
from sttbatch.batch.run import Batch
from sttbatch.caching.answer_spool import AnswerSpool
from sttbatch.caching.content_addresser import ContentAddresser
from sttbatch.caching.file_index import FileIndex
from sttbatch.caching.result_ledger import ResultLedger
from sttbatch.cli.cache_wiring import open_caches
from sttbatch.cli.choosing import RunFlags, adapts, choices_of
from sttbatch.cli.engines import engine_of
from sttbatch.cli.settings import Settings
from sttbatch.cli.state import ANSWERS, RATES
from sttbatch.core.events import Emit, Warned
from sttbatch.database.database import Database
from sttbatch.external.secret import Secret
from sttbatch.outputs.names import OutputRegistry
from sttbatch.outputs.up_to_date import UpToDate
from sttbatch.outputs.writer import OutputWriter
from sttbatch.processing.adaptive_concurrency import AdaptiveConcurrency
from sttbatch.processing.media_workers import WORKERS, MediaWorkers
from sttbatch.processing.orchestrator import ParallelOrchestrator
from sttbatch.queue.budgets import Budgets
from sttbatch.queue.chunks import ChunkClaims
from sttbatch.queue.worker import WorkerRegistry


@contextlib.asynccontextmanager
async def open_batch(
    settings: Settings,
    flags: RunFlags,
    database: Database,
    media: MediaWorkers,
    key: Secret | None,
    emit: Emit,
    report: BatchReport,
    stdout: Writer | None,
) -> AsyncIterator[Batch]:
    """A batch ready to run. `stdout`: write there instead of into files."""
    choices = choices_of(settings, flags, to_stdout=stdout is not None)
    folder = database.path.parent
    addresser = ContentAddresser(choices.request, choices.chunking.channels)
    registry = OutputRegistry(database)
    workers = WorkerRegistry(database, folder)
    orchestrator: ParallelOrchestrator[Job, ChunkWork] = ParallelOrchestrator(
        # One more than there are workers: it is claimed and planned while those are at work.
        choices.concurrency,
        WORKERS + 1,
    )
    async with (
        open_caches(settings, database, lambda message: emit(Warned("", message))) as caches,
        workers.enlisted() as worker,
        MediaWorkers(media.spool, count=1) as splitters,
        engine_of(settings, key, emit, choices.request.model, folder / RATES) as engine,
        # Closed before the worker leaves, which may need the room that was reserved.
        contextlib.aclosing(
            AnswerSpool(folder / ANSWERS, choices.concurrency.value)
        ) as answer_spool,
    ):
        caches.disk.start()
        results = ResultLedger(
            caches.levels,
            caches.ledger,
            choices.request,
            choices.run.price_per_second,
            answer_spool,
        )
        # After the worker came: what runs that are over had reserved is accounted for by then.
        await results.recover()
        answers = ChunkAnswers(
            engine=engine,
            results=results,
            claims=ChunkClaims(
                database,
                workers,
                worker,
                engine=choices.request.engine,
                model=choices.request.model,
                budgets=Budgets(settings.budget_per_day, settings.budget_per_month),
            ),
            closed=lambda: orchestrator.closed,
            pacing=Pacing(
                orchestrator,
                AdaptiveConcurrency(choices.concurrency.value) if adapts(settings) else None,
                emit,
            ),
            addresser=addresser,
            splitters=splitters,
            request=choices.request,
            chunking=choices.chunking,
            run=choices.run,
            emit=emit,
            report=report,
        )
        preparation = Preparation(
            FileIndex(database),
            results,
            addresser,
            media,
            stream=flags.audio_stream,
            audit_mode=choices.run.audit_mode,
            force=flags.force,
            stopping=lambda: orchestrator.closed,
            emit=emit,
        )
        yield Batch(
            choices,
            preparation=preparation,
            engine=engine,
            answers=answers,
            auditing=Auditing(answers, results, addresser, splitters, choices.run, emit),
            results=results,
            claims=JobClaims(
                database,
                workers,
                worker,
                request=choices.request,
                stream=flags.audio_stream,
                request_sha256=addresser.job_sha256,
                priority=flags.priority,
            ),
            addresser=addresser,
            up_to_date=None if stdout is not None else UpToDate(database),
            media=media,
            registry=registry,
            writer=stdout or OutputWriter(registry),
            orchestrator=orchestrator,
            emit=emit,
            report=report,
        )
