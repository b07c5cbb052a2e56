"""Jobs for those who ordered their outputs, in a workshop."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.composition.workshop import Workshop, transcription_run
from sttbatch.core.events import Emit, Event, Warned
from sttbatch.core.jobs import JobStatus
from sttbatch.core.orders import Assignment
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.jobs import LedgerJobs
from sttbatch.database.orders import SqlOrders
from sttbatch.kinds.transcription.ordered_jobs import OrderedJobs
from sttbatch.kinds.transcription.pipeline import TranscriptionPipeline
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.queue.job_queue import JobQueue


def ordered_jobs(
    workshop: Workshop, config: RunConfig, stopping: Callable[[], bool], emit: Emit
) -> OrderedJobs:
    """The `OrderedJobs` of a workshop; the arguments are its attributes."""

    def new_run(config: RunConfig, emit: Emit, assigned: Assignment) -> TranscriptionPipeline:
        return transcription_run(workshop, config, emit, cutters=1, assigned=assigned)

    return OrderedJobs(
        config,
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
    config: RunConfig,
    job_ids: Collection[str],
    stopping: Callable[[], bool],
    emit: Emit,
) -> None:
    """Write what others ordered of completed jobs; only warnings are emitted."""

    def warn(event: Event) -> None:
        if isinstance(event, Warned):
            emit(event)

    jobs = ordered_jobs(workshop, config, stopping, warn)
    for job in (await jobs.queue.jobs.jobs(await jobs.orders.waiting(job_ids))).values():
        if job.status is JobStatus.COMPLETED and not stopping():
            await jobs.process(Assignment(job, None))
