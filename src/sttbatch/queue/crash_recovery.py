"""What a worker that is gone leaves behind: jobs that are free again, and money maybe spent."""

from __future__ import annotations

from sttbatch.database.session import Session

KILLED = "the run that sent it was killed"
ENDED = "the run that sent it ended before the answer came"


def requeue_orphans(db: Session, worker_id: str, reason: str, now: float) -> None:
    """Put a worker's jobs back into the queue, and count what it was sending as maybe paid.

    Its reservations become rows of `requests`: the endpoint may bill what was on its way, so it
    stays spent on the day on which it was claimed. `reason` becomes their error. To be called
    inside a transaction.
    """
    db.execute(
        """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error, latency_s,
                                 quantity, sent_bytes, cost, maybe_paid)
           SELECT started_at, chunk_key, engine, model, retry_count + 1, NULL, ?, 0.0,
                  quantity, 0, reserved_cost, engine <> 'local'
           FROM chunk_tasks WHERE status = 'PROCESSING' AND worker_id = ?""",
        (reason, worker_id),
    )
    db.execute(
        """UPDATE chunk_tasks
           SET status = 'FAILED', reserved_cost = 0, completed_at = ?, error_message = ?
           WHERE status = 'PROCESSING' AND worker_id = ?""",
        (now, reason, worker_id),
    )
    db.execute(
        """UPDATE processing_tasks SET status = 'RELEASED', completed_at = ?
           WHERE status = 'PROCESSING' AND worker_id = ?""",
        (now, worker_id),
    )
    db.execute(
        """UPDATE processing_jobs SET status = 'QUEUED', worker_id = NULL, started_at = NULL
           WHERE worker_id = ?""",
        (worker_id,),
    )
    db.execute("DELETE FROM workers WHERE id = ?", (worker_id,))
