"""Rows of the table `processing_jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from sttbatch.core.jobs import Job, JobPriority, JobSpec, JobStatus
from sttbatch.database.payload_seal import PayloadSeal
from sttbatch.database.store import Session

COLUMNS = """id, job_type, file_sha256, stream, request_sha256, payload, priority, status,
    retry_count, max_retries, claim_number, worker_id, created_at, started_at, completed_at,
    error_message"""
SELECT = f"SELECT {COLUMNS} FROM processing_jobs"  # noqa: S608 - names only


class JobRows(Struct, frozen=True):
    """Reads jobs, whose payloads may be sealed."""

    seal: PayloadSeal

    def read(self, db: Session, query: str, values: Sequence[Any]) -> list[Job]:
        return [self.job(row) for row in db.execute(query, values).fetchall()]

    def first(self, db: Session, query: str, values: Sequence[Any]) -> Job | None:
        return next(iter(self.read(db, query, values)), None)

    def changed(self, db: Session, statement: str, values: Sequence[Any]) -> Job:
        """The job that a statement changes and returns."""
        (job,) = self.read(db, statement, values)
        return job

    def job(self, row: Sequence[Any]) -> Job:
        """The job in a row of `COLUMNS`."""
        job_id, kind, file_sha256, stream, request, payload, priority, status, *rest = row
        spec = JobSpec.from_json(kind.lower(), self.seal.opened_text(payload))
        state = (JobPriority(priority), JobStatus(status))
        return Job(job_id, file_sha256, stream, request, spec, *state, *rest)
