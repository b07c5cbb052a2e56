from __future__ import annotations

import builtins
import uuid
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeAlias

from sttbatch.core.errors import UsageError, WorkerReaped
from sttbatch.core.jobs import (
    TERMINAL,
    TRANSCRIPTION,
    ChunkTask,
    Claim,
    Ended,
    Job,
    JobAttempt,
    JobPriority,
    JobSpec,
    JobStatus,
    TakenBy,
    Worker,
)
from sttbatch.core.orders import CANCELLED
from sttbatch.database.database import Database
from sttbatch.database.job_rows import COLUMNS, SELECT, JobRows
from sttbatch.database.order_rows import close_orders, reopen_orders
from sttbatch.database.sealing import note_key
from sttbatch.database.store import Session
from sttbatch.database.workers import beat, storable

BY_ID = f"{SELECT} WHERE id = ?"
BY_IDS = f"{SELECT} WHERE id IN (?*)"
OF_CONTENTS = f"{SELECT} WHERE file_sha256 IN (?*)"
BY_PREFIX = f"{SELECT} WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"
# The active job of this content and request, otherwise one that failed or was cancelled.
BY_CONTENT = f"""{SELECT}
    WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ? AND status <> 'COMPLETED'
    ORDER BY CASE WHEN status IN ('QUEUED', 'PROCESSING') THEN 0 ELSE 1 END, created_at DESC
    LIMIT 1"""
ACTIVE = f"{SELECT} WHERE status = ? ORDER BY priority DESC, created_at LIMIT ?"
QUEUED_ABOVE = """
    SELECT id, priority FROM processing_jobs WHERE status = 'QUEUED' AND priority > ?
    ORDER BY priority DESC, created_at LIMIT ?"""
QUEUED_ABOVE_BY_IDS = """SELECT id, priority FROM processing_jobs
    WHERE id IN (?*) AND status = 'QUEUED' AND priority > ?"""
ENDED = f"{SELECT} WHERE status = ? ORDER BY completed_at DESC LIMIT ?"
ACTIVE_OF_KIND = ACTIVE.replace("status = ?", "status = ? AND job_type = ?")
ENDED_OF_KIND = ENDED.replace("status = ?", "status = ? AND job_type = ?")
UNFINISHED = """SELECT file_sha256, id FROM processing_jobs
    WHERE status IN ('QUEUED', 'FAILED') AND stream = ? AND request_sha256 = ?"""
INSERT = f"""INSERT INTO processing_jobs
        (id, job_type, file_sha256, stream, request_sha256, payload, priority, max_retries,
         created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ledger_now()) RETURNING {COLUMNS}"""  # noqa: S608
START = f"""UPDATE processing_jobs
    SET status = 'PROCESSING', worker_id = ?, claim_number = claim_number + 1,
        started_at = ledger_now()
    WHERE id = ? RETURNING {COLUMNS}"""  # noqa: S608
END = f"""UPDATE processing_jobs
    SET status = ?, worker_id = NULL, completed_at = ledger_now(), error_message = ?
    WHERE id = ? RETURNING {COLUMNS}"""  # noqa: S608
REQUEUE = f"""UPDATE processing_jobs
    SET status = 'QUEUED', worker_id = NULL, started_at = NULL, completed_at = NULL,
        retry_count = ?, error_message = coalesce(?, error_message), rung_at = NULL
    WHERE id = ? RETURNING {COLUMNS}"""  # noqa: S608
PRIORITISE = f"""UPDATE processing_jobs SET priority = ?, rung_at = NULL
    WHERE id = ? RETURNING {COLUMNS}"""  # noqa: S608
BEGIN_ATTEMPT = """INSERT INTO processing_tasks (job_id, claim_number, worker_id, started_at)
    VALUES (?, ?, ?, ledger_now()) RETURNING id"""
END_ATTEMPT = "UPDATE processing_tasks SET status = ?, completed_at = ledger_now() WHERE id = ?"
PURGE_ENDED = """DELETE FROM processing_jobs
    WHERE status = ? AND completed_at <= ledger_now() - ?"""
PURGE_QUEUED = """DELETE FROM processing_jobs
    WHERE status = 'QUEUED' AND created_at <= ledger_now() - ?"""
FORGET = "DELETE FROM processing_jobs WHERE id = ? AND status <> 'PROCESSING'"
# Closed chunks whose job was removed; one that is being sent keeps its reservation.
DROP_ORPHANS = "DELETE FROM chunk_tasks WHERE task_id IS NULL AND status <> 'PROCESSING'"
ATTEMPTS = """SELECT claim_number, worker_id, status, total_chunks, completed_chunks,
        started_at, completed_at
    FROM processing_tasks WHERE job_id = ? ORDER BY claim_number"""
CHUNKS = """SELECT chunk_key, chunk_index, claim_number, chunk.worker_id, chunk.status,
        chunk.retry_count, reserved_cost, quantity, unit, chunk.started_at, chunk.completed_at,
        chunk.error_message,
        (SELECT request_id FROM requests
         WHERE requests.chunk_key = chunk.chunk_key AND request_id IS NOT NULL
         ORDER BY at DESC LIMIT 1)
    FROM processing_tasks AS task JOIN chunk_tasks AS chunk ON chunk.task_id = task.id
    WHERE task.job_id = ? ORDER BY chunk_index, chunk.started_at"""

_NO_LIMIT = 1_000_000_000

_Change: TypeAlias = Callable[[Session, Job], Job]


class LedgerJobs:
    """A `JobStore` in the ledger; times are by the ledger's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = JobRows(database.seal)

    async def enqueue(
        self,
        file_sha256: str,
        stream: int,
        request_sha256: str,
        spec: JobSpec,
        priority: JobPriority = JobPriority.MEDIUM,
        max_retries: int = 3,
        *,
        revive: bool = False,
    ) -> Job:
        content = (file_sha256, stream, request_sha256)
        job_id = str(uuid.uuid4())

        def write(db: Session) -> Job:
            job = self._rows.first(db, BY_CONTENT, content)
            if job is None or job.is_outdated(spec.version):
                if job is not None:
                    db.execute(FORGET, (job.id,))
                note_key(db, self._database.seal)
                payload = self._database.seal.sealed_text(spec.to_json())
                row = (job_id, spec.kind.upper(), *content, payload, priority, max_retries)
                return self._rows.changed(db, INSERT, row)
            if job.waits_for_user and not revive:
                return job
            if job.status in TERMINAL:
                self._requeue(db, job)
                return self._rows.changed(db, PRIORITISE, (priority, job.id))
            if job.status is JobStatus.QUEUED and priority > job.priority:
                return self._rows.changed(db, PRIORITISE, (priority, job.id))
            return job

        return await self._database.write(write)

    async def claim(
        self, job_id: str, worker: Worker, *, revive_failed: bool = False
    ) -> Claim | TakenBy | Ended:
        def write(db: Session) -> Claim | TakenBy | Ended:
            if not beat(db, worker.id):
                raise WorkerReaped
            job = self._rows.first(db, BY_ID, (job_id,))
            if job is not None and job.status is JobStatus.FAILED and revive_failed:
                job = self._requeue(db, job)
            if job is None or job.status in TERMINAL:
                return Ended(job.status if job else None)
            if job.worker_id is not None:
                return TakenBy(job.worker_id)
            number = self._rows.changed(db, START, (worker.id, job.id)).claim_number
            ((task_id,),) = db.execute(BEGIN_ATTEMPT, (job.id, number, worker.id)).fetchall()
            return Claim(job.id, worker.id, number, task_id)

        return await self._database.write(write)

    async def complete(self, claim: Claim) -> bool:
        complete = partial(self._end, status=JobStatus.COMPLETED, error=None)
        return await self._end_attempt(claim, "COMPLETED", complete)

    async def fail(self, claim: Claim, error: str) -> bool:
        fail = partial(self._end, status=JobStatus.FAILED, error=error)
        return await self._end_attempt(claim, "FAILED", fail)

    async def release(self, claim: Claim, error: str | None = None) -> bool:
        requeue = partial(self._requeue, error=error, revived=False)
        return await self._end_attempt(claim, "RELEASED" if error is None else "FAILED", requeue)

    async def retry(self, job_id: str) -> Job | TakenBy:
        def change(db: Session, job: Job) -> Job:
            if job.status is JobStatus.COMPLETED:
                how = "; `sttbatch transcribe --force` sends it again"
                is_spoken = job.spec.kind == TRANSCRIPTION
                raise UsageError(f"job {job.short_id} is done{how if is_spoken else ''}")
            return self._retry(db, job)

        return await self._change(job_id, change)

    async def retry_failed(self) -> builtins.list[Job]:
        failed = (JobStatus.FAILED, _NO_LIMIT)
        return await self._database.write(
            lambda db: [self._retry(db, job) for job in self._rows.read(db, ENDED, failed)]
        )

    async def cancel(self, job_id: str) -> Job | TakenBy:
        return await self._change(
            job_id, lambda db, job: self._end(db, job, JobStatus.CANCELLED, job.error_message)
        )

    async def set_priority(self, job_id: str, priority: JobPriority) -> Job | TakenBy:
        def change(db: Session, job: Job) -> Job:
            if job.status is not JobStatus.QUEUED:
                raise UsageError(
                    f"job {job.short_id} is {job.status}; priority counts only while it is queued"
                )
            return self._rows.changed(db, PRIORITISE, (priority, job.id))

        return await self._change(job_id, change)

    async def purge(
        self, older_than_s: float = 0.0, statuses: Collection[JobStatus] = TERMINAL
    ) -> int:
        def write(db: Session) -> int:
            removed = 0
            for status in sorted(TERMINAL.intersection(statuses)):
                removed += db.execute(PURGE_ENDED, (status, older_than_s)).rowcount
            if JobStatus.QUEUED in statuses:
                removed += db.execute(PURGE_QUEUED, (older_than_s,)).rowcount
            db.execute(DROP_ORPHANS)
            return removed

        return await self._database.write(write)

    async def forget(self, job_ids: Collection[str]) -> None:
        if job_ids:
            rows = [(job_id,) for job_id in job_ids]
            await self._database.write(lambda db: db.executemany(FORGET, rows))

    async def unfinished(self, stream: int, request_sha256: str) -> dict[str, str]:
        return dict(await self._database.rows(UNFINISHED, (stream, request_sha256)))

    async def queued_above(self, priority: int, limit: int, ids: Sequence[str]) -> dict[str, int]:
        rows = await self._database.rows(QUEUED_ABOVE, (priority, limit))
        if len(rows) == limit:
            rows += await self._database.batched_rows(QUEUED_ABOVE_BY_IDS, ids, priority)
        return dict(rows)

    async def list(
        self, status: JobStatus | None = None, limit: int | None = None, kind: str | None = None
    ) -> builtins.list[Job]:
        of_kind = () if kind is None else (kind.upper(),)
        limit = _NO_LIMIT if limit is None else limit

        def read(db: Session) -> builtins.list[Job]:
            # A query for each state uses the index; one over all of them would have to sort.
            active, ended = (
                [
                    job
                    for state in states
                    if status in {None, state}
                    for job in self._rows.read(db, query, (state, *of_kind, limit))
                ]
                for query, states in (
                    (
                        ACTIVE_OF_KIND if of_kind else ACTIVE,
                        (JobStatus.PROCESSING, JobStatus.QUEUED),
                    ),
                    (ENDED_OF_KIND if of_kind else ENDED, TERMINAL),
                )
            )
            ended.sort(key=lambda job: (job.completed_at or 0.0, job.created_at), reverse=True)
            return (active + ended)[:limit]

        return await self._database.read(read)

    async def find(self, prefix: str) -> Job:
        wanted = prefix.lower()
        # All characters of an id sort before "~"; an empty prefix matches no job.
        ends = (wanted, f"{wanted}~" if wanted else "")
        jobs = [self._rows.job(row) for row in await self._database.rows(BY_PREFIX, ends)]
        exact = [job for job in jobs if job.id == wanted]
        if len(jobs) == 1 or exact:
            return (exact or jobs)[0]
        if not jobs:
            raise UsageError(f"there is no job {prefix!r}; `sttbatch jobs list` lists all jobs")
        some = ", ".join(job.id for job in jobs)
        raise UsageError(f"more than one job begins with {prefix!r}: {some}; give more of the id")

    async def jobs(self, job_ids: Collection[str]) -> dict[str, Job]:
        rows = await self._database.batched_rows(BY_IDS, [*job_ids])
        return {row[0]: self._rows.job(row) for row in rows}

    async def of_contents(self, file_sha256s: Collection[str]) -> builtins.list[Job]:
        rows = await self._database.batched_rows(OF_CONTENTS, [*file_sha256s])
        return [self._rows.job(row) for row in rows]

    async def attempts(self, job_id: str) -> builtins.list[JobAttempt]:
        return [JobAttempt(*row) for row in await self._database.rows(ATTEMPTS, (job_id,))]

    async def chunks(self, job_id: str) -> builtins.list[ChunkTask]:
        return [ChunkTask(*row) for row in await self._database.rows(CHUNKS, (job_id,))]

    async def _end_attempt(self, claim: Claim, status: str, change: _Change) -> bool:
        """Change the job of a claim and end its attempt; False: the claim is void."""

        def write(db: Session) -> bool:
            job = self._rows.first(db, BY_ID, (claim.job_id,))
            if job is None or (job.worker_id, job.claim_number) != (claim.worker_id, claim.number):
                return False
            db.execute(END_ATTEMPT, (status, claim.task_id))
            change(db, job)
            return True

        return await self._database.write(write)

    async def _change(self, job_id: str, change: _Change) -> Job | TakenBy:
        """Change a job that no worker holds."""

        def write(db: Session) -> Job | TakenBy:
            job = self._rows.first(db, BY_ID, (job_id,))
            if job is None:
                raise UsageError(f"there is no job {job_id!r}")
            return change(db, job) if job.worker_id is None else TakenBy(job.worker_id)

        return await self._database.write(write)

    def _end(self, db: Session, job: Job, status: JobStatus, error: str | None) -> Job:
        """End a job; one that is not completed ends its orders too."""
        job.check_may_become(status)
        if status is JobStatus.CANCELLED:
            close_orders(db, job.id, CANCELLED)
        elif status is JobStatus.FAILED:
            close_orders(db, job.id, storable(error))
        return self._rows.changed(db, END, (status, storable(error), job.id))

    def _retry(self, db: Session, job: Job) -> Job:
        """Queue a job again for a user, together with its orders that were not fulfilled."""
        reopen_orders(db, job.id)
        return job if job.status is JobStatus.QUEUED else self._requeue(db, job)

    def _requeue(
        self, db: Session, job: Job, error: str | None = None, *, revived: bool = True
    ) -> Job:
        """Queue a job again; the message of its last failure is kept unless there is another."""
        job.check_may_become(JobStatus.QUEUED)
        retries = job.revived_retry_count if revived else job.retry_count
        return self._rows.changed(db, REQUEUE, (retries, storable(error), job.id))
