"""Jobs as they are read out of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sttbatch.core.errors import UsageError
from sttbatch.database.session import Session
from sttbatch.queue.job import Job, JobPayload, JobPriority, JobStatus

_COLUMNS = """id, file_sha256, stream, request_sha256, payload, priority, status, retry_count,
    max_retries, claim_number, worker_id, created_at, started_at, completed_at, error_message"""

_IDS_A_QUERY = 500

_BY_ID = f"SELECT {_COLUMNS} FROM processing_jobs WHERE id = ?"  # noqa: S608 - names only

_BY_PREFIX = f"""SELECT {_COLUMNS} FROM processing_jobs
    WHERE id >= ? AND id < ? ORDER BY id LIMIT 3"""  # noqa: S608 - names only

_BY_CONTENT = f"""SELECT {_COLUMNS} FROM processing_jobs
    WHERE file_sha256 = ? AND stream = ? AND request_sha256 = ? AND status <> 'COMPLETED'
    ORDER BY status IN ('QUEUED', 'PROCESSING') DESC, created_at DESC
    LIMIT 1"""  # noqa: S608 - names only

_NEWEST = f"""SELECT {_COLUMNS} FROM processing_jobs
    WHERE created_at >= 0 ORDER BY created_at DESC LIMIT ?"""  # noqa: S608 - names only

_WAITING = f"""SELECT {_COLUMNS} FROM processing_jobs
    WHERE status = ? ORDER BY priority DESC, created_at LIMIT ?"""  # noqa: S608 - names only

_ENDED = f"""SELECT {_COLUMNS} FROM processing_jobs
    WHERE status = ? ORDER BY completed_at DESC LIMIT ?"""  # noqa: S608 - names only


def job_by_id(db: Session, job_id: str) -> Job | None:
    return _first(db.execute(_BY_ID, (job_id,)))


def job_by_prefix(db: Session, prefix: str) -> Job:
    """Raises UsageError when no job, or more than one, has an id that begins so."""
    wanted = prefix.lower()
    # No character of an id sorts behind this one.
    found = [_job(row) for row in db.execute(_BY_PREFIX, (wanted, wanted + "~"))] if wanted else []
    exact = [job for job in found if job.id == wanted]
    if len(found) == 1 or exact:
        return (exact or found)[0]
    if not found:
        raise UsageError(f"there is no job {prefix!r}; `sttbatch jobs list` shows those there are")
    some = ", ".join(job.id for job in found)
    raise UsageError(f"more than one job begins with {prefix!r}: {some}; give more of the id")


def unfinished_job(db: Session, file_sha256: str, stream: int, request_sha256: str) -> Job | None:
    """The active job of this content and request, else one that failed or was cancelled."""
    return _first(db.execute(_BY_CONTENT, (file_sha256, stream, request_sha256)))


def jobs_by_id(db: Session, job_ids: Iterable[str]) -> dict[str, Job]:
    """Those that are there."""
    wanted = list(job_ids)
    found: dict[str, Job] = {}
    for at in range(0, len(wanted), _IDS_A_QUERY):
        part = wanted[at : at + _IDS_A_QUERY]
        marks = ",".join("?" * len(part))
        rows = db.execute(
            f"SELECT {_COLUMNS} FROM processing_jobs WHERE id IN ({marks})",  # noqa: S608 - marks
            part,
        )
        found |= {row[0]: _job(row) for row in rows}
    return found


def listed_jobs(db: Session, status: JobStatus | None, limit: int) -> list[Job]:
    """What waits or is at work in the order of the queue, anything else the newest first."""
    if status is None:
        return [_job(row) for row in db.execute(_NEWEST, (limit,))]
    query = _ENDED if status.is_terminal else _WAITING
    return [_job(row) for row in db.execute(query, (status, limit))]


def _first(rows: Iterable[Sequence[Any]]) -> Job | None:
    return next((_job(row) for row in rows), None)


def _job(row: Sequence[Any]) -> Job:
    job_id, file_sha256, stream, request_sha256, payload, priority, status, *rest = row
    return Job(
        job_id,
        file_sha256,
        stream,
        request_sha256,
        JobPayload.from_json(payload),
        JobPriority(priority),
        JobStatus(status),
        *rest,
    )
