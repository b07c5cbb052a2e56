"""What becomes of a job's orders when the job ends or is queued again."""

from __future__ import annotations

from sttbatch.database.store import Session

CLOSE_ALL = """UPDATE orders SET done_at = ledger_now(), error = ?
    WHERE job_id = ? AND done_at IS NULL"""
REOPEN = """UPDATE orders SET done_at = NULL, error = NULL, written = NULL
    WHERE job_id = ? AND error IS NOT NULL"""
FORGET_UNSEEN = "DELETE FROM unseen WHERE job_id = ?"
# A job has a route as long as it has an open order; the latest one decides, which may correct the
# address of an endpoint.
SET_ROUTE = """UPDATE processing_jobs SET route = (
        SELECT orders.route FROM orders
        WHERE orders.job_id = processing_jobs.id AND orders.done_at IS NULL
        ORDER BY ordered_at DESC, id LIMIT 1)"""
# What is ordered anew, a broker is told of anew.
ROUTE = f"{SET_ROUTE}, rung_at = NULL WHERE id = ?"

# What hosts do not see matters as long as somebody waits for it.
DROP_UNSEEN = """DELETE FROM unseen WHERE job_id = ? AND NOT EXISTS (
        SELECT 1 FROM orders WHERE orders.job_id = unseen.job_id AND orders.done_at IS NULL)"""


def update_route(db: Session, job_id: str) -> None:
    """Let workers take a job as long as an order of it is open."""
    db.execute(ROUTE, (job_id,))
    db.execute(DROP_UNSEEN, (job_id,))


def close_orders(db: Session, job_id: str, error: str | None) -> None:
    """Close the open orders of a job that is not going to be done."""
    if db.execute(CLOSE_ALL, (error or "it failed", job_id)).rowcount:
        update_route(db, job_id)


def reopen_orders(db: Session, job_id: str) -> None:
    """Open the orders again that ended with an error; every host looks for the recording again."""
    db.execute(FORGET_UNSEEN, (job_id,))
    if db.execute(REOPEN, (job_id,)).rowcount:
        update_route(db, job_id)
