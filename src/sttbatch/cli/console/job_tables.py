"""Tables and JSON of `sttbatch jobs`."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from sttbatch.cli.console.text import aligned, clock, local_time, utc_time
from sttbatch.core.jobs import ChunkTask, Job, JobAttempt, JobStatus, Worker

_KEY_CHARS = len("chunk:") + 12


class JobDetails(Struct, frozen=True):
    """A job, its attempts and chunks; `holder` is the living worker that processes it, if any."""

    job: Job
    holder: Worker | None
    attempts: Sequence[JobAttempt]
    chunks: Sequence[ChunkTask]


def jobs_table(jobs: Sequence[Job], living: Collection[str]) -> list[str]:
    """One line per job, the recording last; `living` are ids of living workers."""
    rows = [("ID", "STATUS", "DEAD", "PRIORITY", "RETRIES", "CREATED", "LENGTH", "RECORDING")]
    rows += [
        (
            job.short_id,
            _status(job, living),
            "yes" if job.is_dead_letter else "",
            job.priority.name.lower(),
            f"{job.retry_count}/{job.max_retries}",
            local_time(job.created_at),
            clock(job.spec.usage.quantity),
            job.spec.title,
        )
        for job in jobs
    ]
    return aligned(rows)


def jobs_json(jobs: Sequence[Job], living: Collection[str]) -> list[str]:

    return [json.dumps([_fields(job, alive=job.worker_id in living) for job in jobs])]


def details_json(details: JobDetails) -> list[str]:
    fields = _fields(details.job, alive=details.holder is not None)
    fields["passes"] = [_stamped(asdict(attempt)) for attempt in details.attempts]
    fields["chunks"] = [_stamped(asdict(chunk)) for chunk in details.chunks]
    return [json.dumps(fields)]


def details_text(details: JobDetails) -> list[str]:
    """Fields, then attempts, then chunks."""
    job, holder = details.job, details.holder
    facts = {
        "job": job.id,
        "recording": job.spec.title,
        "length": clock(job.spec.usage.quantity),
        "status": _status(job, {holder.id} if holder else ())
        + ", no retries left" * job.is_dead_letter,
        "worker": holder.label if holder else None,
        "priority": job.priority.name.lower(),
        "retries": f"{job.retry_count} of {job.max_retries}",
        "created": local_time(job.created_at),
        "started": local_time(job.started_at, ""),
        "ended": local_time(job.completed_at, ""),
        "error": job.error_message,
        "file": f"sha256 {job.file_sha256}, stream {job.stream}",
        "request": ", ".join(
            f"{name} {value}"
            for name, value in job.spec.payload.get("request", {}).items()
            if value is not None
        ),
    }
    lines = [f"{name + ':':11}{value}" for name, value in facts.items() if value]
    attempts = [
        (
            str(attempt.claim_number),
            attempt.status,
            _progress(attempt),
            local_time(attempt.started_at),
            local_time(attempt.completed_at, ""),
            attempt.worker_id,
        )
        for attempt in details.attempts
    ]
    chunks = [
        (
            str(chunk.index),
            str(chunk.claim_number),
            chunk.status,
            str(chunk.retry_count),
            clock(chunk.audio_s),
            chunk.chunk_key[:_KEY_CHARS],
            chunk.request_id or "",
            chunk.error_message or "",
        )
        for chunk in details.chunks
    ]
    lines += _table("ATTEMPT STATUS CHUNKS STARTED ENDED WORKER", attempts)
    return lines + _table("CHUNK ATTEMPT STATUS RETRIES LENGTH KEY REQUEST ERROR", chunks)


def _table(columns: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """A table below an empty line; nothing if it has no rows."""
    return ["", *aligned([columns.split(), *rows])] if rows else []


def _progress(attempt: JobAttempt) -> str:
    """Answered chunks; their total is known only if the attempt was completed."""
    if attempt.status != JobStatus.COMPLETED:
        return f"{attempt.completed_chunks} done"
    return f"{attempt.completed_chunks}/{attempt.total_chunks}"


def _status(job: Job, living: Collection[str]) -> str:
    if job.status is JobStatus.PROCESSING and job.worker_id not in living:
        return "QUEUED, its run was killed"
    return job.status


def _fields(job: Job, *, alive: bool) -> dict[str, Any]:
    fields = {name: value for name, value in asdict(job).items() if name != "spec"}
    fields |= {"recording": job.spec.title, "audio_s": job.spec.usage.quantity}
    fields["request"] = job.spec.payload.get("request", {})
    fields["priority"] = job.priority.name.lower()
    fields["dead_letter"] = job.is_dead_letter
    fields["worker_alive"] = alive if job.worker_id is not None else None
    return _stamped(fields)


def _stamped(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with times as ISO 8601 in UTC."""
    return {
        name: utc_time(value) if name.endswith("_at") and value is not None else value
        for name, value in fields.items()
    }
