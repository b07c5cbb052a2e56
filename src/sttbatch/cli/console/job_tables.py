"""Tables and JSON of `sttbatch jobs`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from sttbatch.cli.console.text import aligned, clock, local_time, utc_time
from sttbatch.core.jobs import (
    TRANSCRIPTION,
    ChunkTask,
    Job,
    JobAttempt,
    JobSpec,
    JobStatus,
    Worker,
)
from sttbatch.core.work import AUDIO_SECONDS, Usage

_KEY_DIGITS = 12


class JobDetails(Struct, frozen=True):
    """A job, its attempts and chunks; `holder` is the living worker that processes it, if any."""

    job: Job
    holder: Worker | None
    attempts: Sequence[JobAttempt]
    chunks: Sequence[ChunkTask]


def jobs_table(jobs: Sequence[Job], living: Collection[str]) -> list[str]:
    """One line per job, the recording last; `living` are ids of living workers."""
    columns = ("ID", "STATUS", "DEAD", "PRIORITY", "RETRIES", "CREATED", "LENGTH", "RECORDING")
    # Jobs of one kind, such as all that only transcribe, need no column for it.
    has_kinds = len({job.spec.kind for job in jobs}) > 1
    rows: list[tuple[str, ...]] = [("KIND", *columns) if has_kinds else columns]
    rows += [
        (
            *([job.spec.kind] if has_kinds else []),
            job.short_id,
            _status(job, living),
            "yes" if job.is_dead_letter else "",
            job.priority.name.lower(),
            f"{job.retry_count}/{job.max_retries}",
            local_time(job.created_at),
            quantity_text(job.spec.usage),
            job.spec.title,
        )
        for job in jobs
    ]
    return aligned(rows)


def quantity_text(usage: Usage) -> str:
    """What a job or request consumes: 1:02:03 of audio, or a number of tokens."""
    if usage.unit == AUDIO_SECONDS:
        return clock(usage.quantity)
    return f"{usage.quantity:,.0f} {usage.unit}"


def jobs_json(jobs: Sequence[Job], living: Collection[str]) -> list[str]:

    return [json.dumps([_fields(job, alive=job.worker_id in living) for job in jobs])]


def details_json(details: JobDetails) -> list[str]:
    fields = _fields(details.job, alive=details.holder is not None)
    fields["passes"] = [_stamped(asdict(attempt)) for attempt in details.attempts]
    fields["chunks"] = [_chunk_fields(chunk) for chunk in details.chunks]
    return [json.dumps(fields)]


def details_text(details: JobDetails) -> list[str]:
    """Fields, then attempts, then chunks."""
    job, holder = details.job, details.holder
    is_of_words = job.spec.kind != TRANSCRIPTION
    facts = {
        "job": job.id,
        "recording": job.spec.title,
        "kind": job.spec.kind if is_of_words else None,
        "length": quantity_text(job.spec.usage),
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
            f"{name} {value}" for name, value in _request(job.spec).items() if value is not None
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
            quantity_text(Usage(chunk.unit, chunk.quantity)),
            chunk.chunk_key[: chunk.chunk_key.find(":") + _KEY_DIGITS + 1],
            chunk.request_id or "",
            chunk.error_message or "",
        )
        for chunk in details.chunks
    ]
    part = "QUESTION" if is_of_words else "CHUNK"
    lines += _table(f"ATTEMPT STATUS {part}S STARTED ENDED WORKER", attempts)
    return lines + _table(f"{part} ATTEMPT STATUS RETRIES LENGTH KEY REQUEST ERROR", chunks)


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
    usage = job.spec.usage
    fields |= {"kind": job.spec.kind, "recording": job.spec.title, "audio_s": usage.audio_s}
    fields |= {"quantity": usage.quantity, "unit": usage.unit, "request": _request(job.spec)}
    fields["priority"] = job.priority.name.lower()
    fields["dead_letter"] = job.is_dead_letter
    fields["worker_alive"] = alive if job.worker_id is not None else None
    return _stamped(fields)


def _chunk_fields(chunk: ChunkTask) -> dict[str, Any]:
    fields = _stamped(asdict(chunk))
    return fields | {"audio_s": Usage(chunk.unit, chunk.quantity).audio_s}


def _request(spec: JobSpec) -> Mapping[str, Any]:
    """What decides the result; of a language model at least its name."""
    model = {"model": spec.payload["model"]} if "model" in spec.payload else {}
    return dict(spec.payload.get("request", model))


def _stamped(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with times as ISO 8601 in UTC."""
    return {
        name: utc_time(value) if name.endswith("_at") and value is not None else value
        for name, value in fields.items()
    }
