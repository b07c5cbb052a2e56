"""The changes of a job's row; each is called inside a transaction, with the time it happens at."""

from __future__ import annotations

import uuid

from sttbatch.database.session import Session
from sttbatch.queue.job import Claim, Job, JobPayload, JobPriority, JobStatus
from sttbatch.queue.job_rows import job_by_id
from sttbatch.queue.worker import Worker

Content = tuple[str, int, str]
"""SHA-256 of the file, stream, SHA-256 of the request."""


def insert(
    db: Session,
    content: Content,
    payload: JobPayload,
    priority: JobPriority,
    max_retries: int,
    now: float,
) -> Job:
    """A new job, QUEUED."""
    job_id = str(uuid.uuid4())
    db.execute(
        """INSERT INTO processing_jobs (id, file_sha256, stream, request_sha256, payload,
                                        priority, max_retries, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (job_id, *content, payload.to_json(), priority, max_retries, now),
    )
    return reread(db, job_id)


def start(db: Session, job: Job, worker: Worker, now: float) -> Claim:
    """QUEUED -> PROCESSING, with the next claim number and a pass of its own."""
    job.check_may_become(JobStatus.PROCESSING)
    number = job.claim_number + 1
    db.execute(
        """UPDATE processing_jobs SET status = 'PROCESSING', worker_id = ?, claim_number = ?,
                                      started_at = ?
           WHERE id = ?""",
        (worker.id, number, now, job.id),
    )
    (task_id,) = db.execute(
        """INSERT INTO processing_tasks (job_id, claim_number, worker_id, started_at)
           VALUES (?, ?, ?, ?) RETURNING id""",
        (job.id, number, worker.id, now),
    ).fetchone()
    return Claim(job.id, worker.id, number, task_id)


def end(db: Session, job: Job, status: JobStatus, error: str | None, now: float) -> None:
    """To one of the states in which nobody works on it."""
    job.check_may_become(status)
    db.execute(
        """UPDATE processing_jobs SET status = ?, worker_id = NULL, completed_at = ?,
                                      error_message = ?
           WHERE id = ?""",
        (status, now, storable(error), job.id),
    )


def requeue(db: Session, job: Job, retry_count: int, error: str | None = None) -> Job:
    """Back into the queue; without an `error` that of its last failure stays to be read."""
    job.check_may_become(JobStatus.QUEUED)
    db.execute(
        """UPDATE processing_jobs SET status = 'QUEUED', worker_id = NULL, started_at = NULL,
                                      completed_at = NULL, retry_count = ?,
                                      error_message = coalesce(?, error_message)
           WHERE id = ?""",
        (retry_count, storable(error), job.id),
    )
    return reread(db, job.id)


def prioritise(db: Session, job: Job, priority: JobPriority) -> Job:
    db.execute("UPDATE processing_jobs SET priority = ? WHERE id = ?", (priority, job.id))
    return reread(db, job.id)


def close_pass(db: Session, claim: Claim, status: str, now: float) -> None:
    """COMPLETED, FAILED or RELEASED."""
    db.execute(
        "UPDATE processing_tasks SET status = ?, completed_at = ? WHERE id = ?",
        (status, now, claim.task_id),
    )


def held(db: Session, claim: Claim) -> Job | None:
    """The job of a claim that is not void."""
    job = job_by_id(db, claim.job_id)
    if job is None or (job.worker_id, job.claim_number) != (claim.worker_id, claim.number):
        return None
    return job


def reread(db: Session, job_id: str) -> Job:
    job = job_by_id(db, job_id)
    assert job is not None
    return job


def drop_orphans(db: Session) -> None:
    """Closed chunks whose job was removed; one that is being sent keeps its reservation."""
    db.execute("DELETE FROM chunk_tasks WHERE task_id IS NULL AND status <> 'PROCESSING'")


def storable(text: str | None) -> str | None:
    """Names in a message need not be valid UTF-8, what SQLite stores must."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")
