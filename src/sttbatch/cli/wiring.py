"""The composition root: settings in, a batch with all its collaborators out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sttbatch.batch.answers import ChunkAnswers
from sttbatch.batch.choices import Choices
from sttbatch.batch.claims import JobClaims
from sttbatch.batch.endings import Writer
from sttbatch.batch.finished import FinishedBefore
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
from sttbatch.cli.engines import engine_of
from sttbatch.cli.settings import Settings
from sttbatch.core.events import Emit, Warned
from sttbatch.core.models import ConcurrencyLimit
from sttbatch.core.options import (
    MIB,
    ChunkingOptions,
    OutputOptions,
    RequestOptions,
    RunOptions,
)
from sttbatch.database.database import Database
from sttbatch.database.folders import private_folder, run_folder
from sttbatch.external.secret import Secret
from sttbatch.outputs import OutputRegistry, OutputWriter
from sttbatch.outputs.up_to_date import UpToDate
from sttbatch.processing.adaptive_concurrency import AdaptiveConcurrency
from sttbatch.processing.media_workers import WORKERS, MediaWorkers
from sttbatch.processing.orchestrator import ParallelOrchestrator
from sttbatch.queue.budgets import Budgets
from sttbatch.queue.chunks import ChunkClaims
from sttbatch.queue.job import JobPriority
from sttbatch.queue.worker import WorkerRegistry

CLOUDRU_MODEL = "openai/whisper-large-v3"
LOCAL_MODEL = "tiny.en"
LEDGER = "ledger.db"
ANSWERS = "answers"


@dataclass(frozen=True, slots=True)
class RunFlags:
    """What only an option can say."""

    audio_stream: int = 0
    force: bool = False
    overwrite: bool = False
    fail_fast: bool = False
    max_cost: float | None = None
    dry_run: bool = False
    no_wait: bool = False
    priority: JobPriority = JobPriority.MEDIUM


def data_folder(settings: Settings) -> Path:
    """Made on first use, private."""
    if settings.data_dir:
        return private_folder(Path(settings.data_dir).expanduser())
    from platformdirs import user_data_path

    return private_folder(user_data_path("sttbatch"))


def choices_of(
    settings: Settings, flags: RunFlags = RunFlags(), *, to_stdout: bool = False
) -> Choices:
    """Settings as the rooms below know them."""
    is_local = settings.engine == "local"
    base = urlsplit(settings.base_url)
    return Choices(
        request=RequestOptions(
            engine=settings.engine,
            origin="" if is_local else f"{base.scheme}://{base.netloc}",
            model=settings.model or (LOCAL_MODEL if is_local else CLOUDRU_MODEL),
            language=settings.language,
            prompt=settings.prompt,
            temperature=settings.temperature,
        ),
        chunking=ChunkingOptions(
            target_duration_s=settings.chunk_duration,
            max_chunk_bytes=int(settings.max_chunk_mb * MIB),
            upload_codec=settings.upload_codec,
            audio_stream=flags.audio_stream,
        ),
        outputs=OutputOptions(
            formats=() if to_stdout else tuple(settings.formats),
            directory=Path(settings.output_dir) if settings.output_dir and not to_stdout else None,
            words=settings.words,
            max_line_width=settings.max_line_width,
            max_lines=settings.max_lines,
            overwrite=flags.overwrite,
        ),
        run=RunOptions(
            fail_fast=flags.fail_fast,
            force=flags.force,
            no_wait=flags.no_wait,
            max_cost=flags.max_cost,
            price_per_second=0.0 if is_local else settings.price_per_second,
        ),
        concurrency=concurrency_of(settings),
    )


def concurrency_of(settings: Settings) -> ConcurrencyLimit:
    """Chunks under way at most."""
    if settings.engine == "local":
        # It recognises one chunk at a time, on several threads.
        return ConcurrencyLimit(1)
    if isinstance(settings.concurrency, int):
        return ConcurrencyLimit(settings.concurrency)
    return ConcurrencyLimit(settings.max_concurrency)


def adapts(settings: Settings) -> bool:
    """Whether the number of lanes follows the endpoint's answers."""
    return settings.engine != "local" and settings.concurrency == "auto"


@contextlib.asynccontextmanager
async def open_batch(
    settings: Settings, flags: RunFlags, key: Secret | None, emit: Emit, stdout: Writer | None
) -> AsyncIterator[Batch]:
    """A batch ready to run. `stdout`: write there instead of into files."""
    choices = choices_of(settings, flags, to_stdout=stdout is not None)
    folder = data_folder(settings)
    addresser = ContentAddresser(choices.request)
    report = BatchReport()
    with (
        contextlib.closing(Database(folder / LEDGER)) as database,
        run_folder(folder / "spool") as spool,
    ):
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
            MediaWorkers(spool) as media,
            MediaWorkers(spool, count=1) as splitters,
            engine_of(settings, key, emit, choices.request.model) as engine,
            # Closed before the worker leaves, which may need the room that was reserved.
            contextlib.aclosing(
                AnswerSpool(folder / ANSWERS, choices.concurrency.value)
            ) as answer_spool,
        ):
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
            index, up_to_date = FileIndex(database), UpToDate(database)
            preparation = Preparation(
                index,
                results,
                addresser,
                media,
                stream=flags.audio_stream,
                force=flags.force,
                stopping=lambda: orchestrator.closed,
            )
            yield Batch(
                choices,
                preparation=preparation,
                engine=engine,
                answers=answers,
                results=results,
                claims=JobClaims(
                    database,
                    workers,
                    worker,
                    request=choices.request,
                    stream=flags.audio_stream,
                    request_sha256=addresser.request_sha256,
                    priority=flags.priority,
                ),
                addresser=addresser,
                finished=(
                    FinishedBefore(
                        index, results, up_to_date, addresser, choices.outputs, flags.audio_stream
                    )
                    if choices.outputs.formats and not flags.force
                    else None
                ),
                up_to_date=None if stdout is not None else up_to_date,
                media=media,
                registry=registry,
                writer=stdout or OutputWriter(registry),
                orchestrator=orchestrator,
                emit=emit,
                report=report,
            )
