"""Statements over `processing_jobs` and `processing_tasks`; SQLite and PostgreSQL take them."""

from __future__ import annotations

COLUMNS = """id, job_type, file_sha256, stream, request_sha256, payload, priority, status,
    retry_count, max_retries, claim_number, worker_id, created_at, started_at, completed_at,
    error_message"""
SELECT = f"SELECT {COLUMNS} FROM processing_jobs"  # noqa: S608 - names only, here and below
BY_ID = f"{SELECT} WHERE id = ?"
BY_IDS = f"{SELECT} WHERE id IN (?*)"
BY_PREFIX = f"{SELECT} WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"
# The active job of this content and request, else one that failed or was cancelled.
BY_CONTENT = f"""{SELECT}
    WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ? AND status <> 'COMPLETED'
    ORDER BY CASE WHEN status IN ('QUEUED', 'PROCESSING') THEN 0 ELSE 1 END, created_at DESC
    LIMIT 1"""
ACTIVE = f"{SELECT} WHERE status = ? ORDER BY priority DESC, created_at LIMIT ?"
ENDED = f"{SELECT} WHERE status = ? ORDER BY completed_at DESC LIMIT ?"
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
        retry_count = ?
    WHERE id = ? RETURNING {COLUMNS}"""  # noqa: S608
PRIORITISE = f"UPDATE processing_jobs SET priority = ? WHERE id = ? RETURNING {COLUMNS}"  # noqa: S608
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
        chunk.retry_count, reserved_cost, quantity, chunk.started_at, chunk.completed_at,
        chunk.error_message
    FROM processing_tasks AS task JOIN chunk_tasks AS chunk ON chunk.task_id = task.id
    WHERE task.job_id = ? ORDER BY chunk_index, chunk.started_at"""
