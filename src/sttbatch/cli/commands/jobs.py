"""sttbatch jobs: list, show, retry, cancel, priority, purge, reseal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sttbatch.cli.console.stdio import print_lines
from sttbatch.cli.options import AsJson
from sttbatch.core.errors import UsageError
from sttbatch.core.jobs import KINDS, TERMINAL, TRANSCRIPTION, Job, JobPriority, JobStatus

if TYPE_CHECKING:
    from sttbatch.cli.run_session import RunSession
    from sttbatch.composition.stores import LedgerStores

T = TypeVar("T")

PURGE_AGE_S = 30 * 86_400.0
"""Age after which `purge` removes ended jobs without --older-than."""

PRIORITIES = "|".join(priority.name.lower() for priority in JobPriority)

app = typer.Typer(help="Inspect and manage the queue of recordings.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="ID", help="A unique prefix is enough.")]


@app.command("list")
def list_(
    status: Annotated[
        JobStatus | None, typer.Option(case_sensitive=False, help="Only jobs in this state.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help=f"Only jobs of this kind: {', '.join(KINDS)}."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List running jobs, queued ones in the order of the queue, then ended ones, newest first."""
    from sttbatch.cli.console.job_tables import jobs_json, jobs_table

    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind of job {kind!r}; choose one of {', '.join(KINDS)}")

    async def read(stores: LedgerStores) -> tuple[list[Job], set[str]]:
        jobs = await stores.jobs.list(status, limit, kind)
        holders = {job.worker_id for job in jobs if job.worker_id is not None}
        return jobs, set(await stores.workers.living(holders))

    jobs, living = _with_stores(read)
    print_lines(jobs_json(jobs, living) if as_json else jobs_table(jobs, living))


@app.command()
def show(job: JobId, as_json: AsJson = False) -> None:
    """Show a job, its attempts and the chunks that were sent."""
    from sttbatch.cli.console.job_tables import JobDetails, details_json, details_text

    async def read(stores: LedgerStores) -> JobDetails:
        row = await stores.jobs.find(job)
        holders = {row.worker_id} if row.worker_id is not None else set()
        living = await stores.workers.living(holders)
        attempts = await stores.jobs.attempts(row.id)
        chunks = await stores.jobs.chunks(row.id)
        return JobDetails(row, living.get(row.worker_id or ""), attempts, chunks)

    details = _with_stores(read)
    print_lines(details_json(details) if as_json else details_text(details))


@app.command()
def retry(
    job: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A unique prefix is enough.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Retry every failed job.")] = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="Run it at once, with the options it was queued with."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue a failed or cancelled job again, for workers or the next transcribe of its file."""
    if (job is None) is not failed or (failed and now):
        raise UsageError(
            "give the ID of a job, which --now runs at once, or --failed for all that failed"
        )

    async def write(stores: LedgerStores) -> list[Job]:
        if job is None:
            return await stores.jobs.retry_failed()
        return [await stores.queue.retry((await stores.jobs.find(job)).id)]

    if now and job is not None:
        raise typer.Exit(_run_now(job, as_json=as_json))
    _report("queued", _with_stores(write), as_json=as_json)


def _run_now(job_id: str, *, as_json: bool) -> int:
    import asyncio

    from msgspec.structs import replace

    from sttbatch.cli.console.progress import OutputMode, event_log
    from sttbatch.cli.language_session import LanguageSession
    from sttbatch.cli.transcribe_session import TranscribeSession
    from sttbatch.composition.credentials import load_key
    from sttbatch.composition.effective_options import RunFlags
    from sttbatch.composition.settings import load_settings
    from sttbatch.kinds.registry import job_kind

    job = _with_stores(lambda stores: stores.jobs.find(job_id))
    loaded = load_settings()
    engine, model = job_kind(job.spec.kind).engine(job.spec)
    mode = OutputMode(False, False, as_json, False, False, None)
    key = load_key(loaded.settings) if engine == "cloudru" else None
    with event_log(mode) as log:
        session: RunSession
        if job.spec.kind == TRANSCRIPTION:
            settings = replace(loaded.settings, engine=engine, model=model)
            flags = RunFlags(priority=job.priority)
            session = TranscribeSession(settings, flags, mode, key, loaded.alerts, log)
        else:
            session = LanguageSession(loaded.settings, mode, key, loaded.alerts, log)
        return asyncio.run(
            session.run_job(job.spec, lambda: _serve(lambda stores: stores.queue.retry(job.id)))
        )


@app.command()
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Cancel a queued job; one that is being processed is refused."""

    async def write(stores: LedgerStores) -> Job:
        return await stores.queue.cancel((await stores.jobs.find(job)).id)

    _report("cancelled", [_with_stores(write)], as_json=as_json)


@app.command()
def priority(
    job: JobId,
    level: Annotated[str, typer.Argument(metavar=PRIORITIES)],
    as_json: AsJson = False,
) -> None:
    """Change the priority of a queued job."""
    if level not in PRIORITIES.split("|"):
        raise UsageError(f"there is no priority {level!r}; choose one of {PRIORITIES}")

    async def write(stores: LedgerStores) -> Job:
        row = await stores.jobs.find(job)
        return await stores.queue.set_priority(row.id, JobPriority[level.upper()])

    _report(f"priority {level}", [_with_stores(write)], as_json=as_json)


@app.command()
def purge(
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="D",
            help="Only jobs that ended, or were queued, longer ago than D: 90s, 10m, 2h, 30d.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Include failed and queued jobs, of any age unless --older-than is given."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove jobs completed or cancelled over 30 days ago; paid results are kept."""
    import json

    from sttbatch.cli.console.text import counted
    from sttbatch.composition.setting_values import option_s

    age_s = 0.0 if every else PURGE_AGE_S
    if older_than is not None:
        age_s = option_s("--older-than", older_than)
    statuses = TERMINAL | {JobStatus.QUEUED} if every else TERMINAL - {JobStatus.FAILED}
    removed = _with_stores(lambda stores: stores.jobs.purge(age_s, statuses))
    text = f"{counted(removed, 'job')} removed"
    print_lines([json.dumps({"removed": removed}) if as_json else text])


@app.command()
def reseal(as_json: AsJson = False) -> None:
    """Encrypt the sealed payloads of jobs again, with the newest payload_key."""
    import json

    from sttbatch.cli.console.text import counted

    done = _with_stores(lambda stores: stores.reseal())
    text = f"{counted(done.jobs, 'job')} and {counted(done.orders, 'order')} sealed"
    print_lines([json.dumps(done._asdict()) if as_json else text])


def _with_stores(work: Callable[[LedgerStores], Awaitable[T]]) -> T:
    import asyncio

    return asyncio.run(_serve(work))


async def _serve(work: Callable[[LedgerStores], Awaitable[T]]) -> T:
    from sttbatch.composition.settings import load_settings
    from sttbatch.composition.stores import opened_stores

    with opened_stores(load_settings().settings) as stores:
        return await work(stores)


def _report(what: str, jobs: list[Job], *, as_json: bool) -> None:
    from sttbatch.cli.console.job_tables import jobs_json

    lines = [f"{what} {job.short_id} {job.spec.title}" for job in jobs]
    print_lines(jobs_json(jobs, set()) if as_json else lines or ["no job failed"])
