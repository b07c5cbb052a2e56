"""Jobs for those who ordered their outputs, in a workshop."""

from __future__ import annotations

from collections.abc import Callable, Collection

from msgspec.structs import replace

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.composition.settings import Settings
from sttbatch.composition.workshop import Workshop, transcription_run
from sttbatch.core.events import Emit, Event, Warned
from sttbatch.core.jobs import TRANSCRIPTION, JobStatus
from sttbatch.core.orders import Assignment
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.orders import SqlOrders
from sttbatch.kinds.ordered_jobs import OrderedJobs, OrderedRun
from sttbatch.kinds.transcription.spec import RunConfig, TranscriptionSpec
from sttbatch.queue.job_queue import JobQueue


def ordered_jobs(
    workshop: Workshop,
    settings: Settings,
    config: RunConfig,
    stopping: Callable[[], bool],
    emit: Emit,
) -> OrderedJobs:
    """The `OrderedJobs` of a workshop; a job's own options replace those of `config`."""

    async def new_run(assigned: Assignment, emit: Emit, *, forced: bool) -> OrderedRun:
        if assigned.job.spec.kind != TRANSCRIPTION:
            from sttbatch.composition.language_runs import ordered_language_run

            return await ordered_language_run(workshop, settings, assigned, emit, forced=forced)
        own = TranscriptionSpec.from_job_spec(assigned.job.spec).run_config(config)
        run = replace(own, run=replace(own.run, no_wait=True, force=forced))
        return transcription_run(workshop, run, emit, cutters=1, assigned=assigned)

    return OrderedJobs(
        workshop.worker,
        JobQueue(LedgerJobs(workshop.database), workshop.workers),
        SqlOrders(workshop.database),
        lambda: Fingerprinter(SqlFileIndex(workshop.database)),
        new_run,
        stopping,
        emit,
        workshop.fetched,
    )


async def fulfil_orders(
    workshop: Workshop,
    settings: Settings,
    config: RunConfig,
    job_ids: Collection[str],
    stopping: Callable[[], bool],
    emit: Emit,
) -> None:
    """Write what others ordered of jobs that are completed; only warnings are emitted."""

    def warn(event: Event) -> None:
        if isinstance(event, Warned):
            emit(event)

    jobs = ordered_jobs(workshop, settings, config, stopping, warn)
    for job in (await jobs.queue.jobs.jobs(job_ids)).values():
        if job.status is JobStatus.COMPLETED and not stopping():
            await jobs.process(Assignment(job, None))
