"""Rows of the table `processing_jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sttbatch.core.jobs import Job, JobPriority, JobSpec, JobStatus
from sttbatch.database.database import Session

COLUMNS = """id, job_type, file_sha256, stream, request_sha256, payload, priority, status,
    retry_count, max_retries, claim_number, worker_id, created_at, started_at, completed_at,
    error_message"""
SELECT = f"SELECT {COLUMNS} FROM processing_jobs"  # noqa: S608 - names only


def read_jobs(db: Session, query: str, values: Sequence[Any]) -> list[Job]:
    return [job_of(row) for row in db.execute(query, values).fetchall()]


def job_of(row: Sequence[Any]) -> Job:
    """The job in a row of `COLUMNS`."""
    job_id, kind, file_sha256, stream, request, payload, priority, status, *rest = row
    spec = JobSpec.from_json(kind.lower(), payload)
    state = (JobPriority(priority), JobStatus(status))
    return Job(job_id, file_sha256, stream, request, spec, *state, *rest)
