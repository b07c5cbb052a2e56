"""sttbatch jobs: list, show, retry, cancel, priority, purge."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import TERMINAL, Job, JobPriority, JobStatus

if TYPE_CHECKING:
    from sttbatch.queue.job_queue import JobQueue

T = TypeVar("T")

KEPT_S = 30 * 86_400.0
"""`purge` leaves younger jobs alone unless it is told otherwise."""

PRIORITIES = "|".join(priority.name.lower() for priority in JobPriority)

app = typer.Typer(help="Recordings that wait, are at work, or ended.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="ID", help="Its beginning is enough.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("list")
def list_(
    status: Annotated[
        JobStatus | None, typer.Option(case_sensitive=False, help="Only those in this state.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List running jobs, then queued ones in the order of the queue, then the last to end."""
    from sttbatch.cli.console.job_tables import jobs_json, jobs_table

    async def read(queue: JobQueue) -> tuple[list[Job], set[str]]:
        found = await queue.jobs.list(status, limit)
        holders = {job.worker_id for job in found if job.worker_id is not None}
        return found, set(await queue.workers.living(holders))

    jobs, living = _with_queue(read)
    _print(jobs_json(jobs, living) if as_json else jobs_table(jobs, living))


@app.command()
def show(job: JobId, as_json: AsJson = False) -> None:
    """Show one job, who worked on it, and the chunks that were sent for it."""
    from sttbatch.cli.console.job_tables import JobDetails, details_json, details_text

    async def read(queue: JobQueue) -> JobDetails:
        found = await queue.jobs.find(job)
        holders = {found.worker_id} if found.worker_id is not None else set()
        living = await queue.workers.living(holders)
        attempts = await queue.jobs.attempts(found.id)
        chunks = await queue.jobs.chunks(found.id)
        return JobDetails(found, living.get(found.worker_id or ""), attempts, chunks)

    details = _with_queue(read)
    _print(details_json(details) if as_json else details_text(details))


@app.command()
def retry(
    job: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Its beginning is enough.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a failed or cancelled job again; the next transcribe of its recording takes it."""
    if (job is None) is not failed:
        raise UsageError("name one job, or --failed for all that failed")

    async def write(queue: JobQueue) -> list[Job]:
        if job is None:
            return await queue.jobs.retry_failed()
        return [await queue.retry((await queue.jobs.find(job)).id)]

    _report("queued", _with_queue(write), as_json=as_json)


@app.command()
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Take a job out of the queue; one that a living process works on is refused."""

    async def write(queue: JobQueue) -> Job:
        return await queue.cancel((await queue.jobs.find(job)).id)

    _report("cancelled", [_with_queue(write)], as_json=as_json)


@app.command()
def priority(
    job: JobId,
    level: Annotated[str, typer.Argument(metavar=PRIORITIES)],
    as_json: AsJson = False,
) -> None:
    """Change the priority of a queued job."""
    if level not in PRIORITIES.split("|"):
        raise UsageError(f"a priority is one of {PRIORITIES}, not {level!r}")

    async def write(queue: JobQueue) -> Job:
        found = await queue.jobs.find(job)
        return await queue.set_priority(found.id, JobPriority[level.upper()])

    _report(f"priority {level}", [_with_queue(write)], as_json=as_json)


@app.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(metavar="D", help="Ended, or queued, so long ago: 90s, 10m, 2h, 30d."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Include failed and queued jobs, of any age unless --older-than is given."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget jobs that were done or cancelled over 30 days ago; what was paid for is kept."""
    import json

    from sttbatch.composition.settings import duration_s

    age_s = 0.0 if every else KEPT_S
    if older_than is not None:
        try:
            age_s = duration_s(older_than)
        except ValueError as error:
            raise UsageError(f"--older-than {older_than}: {error}") from error
    statuses = TERMINAL | {JobStatus.QUEUED} if every else TERMINAL - {JobStatus.FAILED}
    removed = _with_queue(lambda queue: queue.jobs.purge(age_s, statuses))
    words = f"{removed} {'job' if removed == 1 else 'jobs'} removed"
    _print([json.dumps({"removed": removed}) if as_json else words])


def _with_queue(work: Callable[[JobQueue], Awaitable[T]]) -> T:
    from sttbatch.composition.paths import data_folder
    from sttbatch.composition.settings import load_settings
    from sttbatch.database.jobs import LedgerJobs
    from sttbatch.database.opening import open_ledger
    from sttbatch.database.workers import LedgerWorkers
    from sttbatch.queue.job_queue import JobQueue
    from sttbatch.queue.liveness import FileLocks
    from sttbatch.queue.worker import WorkerRegistry

    folder = data_folder(load_settings().settings)

    async def run() -> T:
        with contextlib.closing(open_ledger(folder)) as database:
            workers = WorkerRegistry(LedgerWorkers(database), FileLocks(folder))
            return await work(JobQueue(LedgerJobs(database), workers))

    import asyncio

    return asyncio.run(run())


def _report(what: str, jobs: list[Job], *, as_json: bool) -> None:
    from sttbatch.cli.console.job_tables import jobs_json

    lines = [f"{what} {job.short_id} {job.spec.title}" for job in jobs]
    _print(jobs_json(jobs, set()) if as_json else lines or ["no job failed"])


def _print(lines: list[str]) -> None:
    from sttbatch.cli.console.rendering import Out

    out = Out()
    for line in lines:
        out.line(line)
