"""What became of jobs: their passes, the chunks they claimed, and how many are in each state."""

from __future__ import annotations

from dataclasses import dataclass

from sttbatch.database.session import Session


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """One worker's pass over a job; times are seconds since the epoch.

    Attributes:
        status: PROCESSING, COMPLETED, FAILED or RELEASED.
        total_chunks: those that it claimed to send; cached ones are in no pass.
        completed_chunks: those of them that were answered.
    """

    claim_number: int
    worker_id: str
    status: str
    total_chunks: int
    completed_chunks: int
    started_at: float
    completed_at: float | None


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """A chunk that was claimed last by a job.

    Attributes:
        status: PROCESSING, COMPLETED or FAILED.
        reserved_cost: counted against budgets while it is PROCESSING.
    """

    chunk_key: str
    index: int
    claim_number: int
    worker_id: str
    status: str
    retry_count: int
    reserved_cost: float
    audio_s: float
    started_at: float
    completed_at: float | None
    error_message: str | None


def passes_of(db: Session, job_id: str) -> list[JobAttempt]:
    """In the order of their claims."""
    rows = db.execute(
        """SELECT claim_number, worker_id, status, total_chunks, completed_chunks,
                  started_at, completed_at
           FROM processing_tasks WHERE job_id = ? ORDER BY claim_number""",
        (job_id,),
    )
    return [JobAttempt(*row) for row in rows]


def chunks_of(db: Session, job_id: str) -> list[ChunkTask]:
    """In the order in which they are heard."""
    rows = db.execute(
        """SELECT chunk_key, chunk_index, claim_number, chunk.worker_id, chunk.status,
                  chunk.retry_count, reserved_cost, quantity, chunk.started_at,
                  chunk.completed_at, chunk.error_message
           FROM processing_tasks AS task JOIN chunk_tasks AS chunk ON chunk.task_id = task.id
           WHERE task.job_id = ? ORDER BY chunk_index, chunk.started_at""",
        (job_id,),
    )
    return [ChunkTask(*row) for row in rows]
