"""A job: one recording and one request, from the queue to its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

from sttbatch.core.errors import UsageError

SHORT_ID = 8
"""Characters of an id that people are shown; `find` takes any prefix that is unique."""


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    def may_become(self, other: JobStatus) -> bool:
        return other in TRANSITIONS[self]

    @property
    def is_terminal(self) -> bool:
        """Nobody works on it, and nobody will unless it is revived."""
        return self in TERMINAL


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED}
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""Every change of state that there is; the trigger `processing_jobs_status` refuses all others."""

TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class JobPriority(IntEnum):
    """Higher goes first; changes only while a job is queued."""

    HIGH = 3
    MEDIUM = 2
    LOW = 1


@dataclass(frozen=True, slots=True)
class JobPayload:
    """What was asked for; never changes once it is queued.

    Attributes:
        recording: its path as the user gave it first; copies and later names are the same job.
        audio_s: what its container declares.
        request: the request options by name.
    """

    recording: str
    audio_s: float = 0.0
    request: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        # ASCII, so that a name that is no valid UTF-8 survives: SQLite takes no lone surrogates.
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> JobPayload:
        return JobPayload(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Job:
    """A row of `processing_jobs`, as it was when it was read; times are seconds since the epoch.

    Attributes:
        retry_count: how often it was put back after a failure.
        claim_number: grows with every claim; a claim with an older one has lost the job.
        worker_id: who holds it, while it is PROCESSING.
        error_message: of its last failure; None once it is done.
    """

    id: str
    file_sha256: str
    stream: int
    request_sha256: str
    payload: JobPayload
    priority: JobPriority
    status: JobStatus
    retry_count: int
    max_retries: int
    claim_number: int
    worker_id: str | None
    created_at: float
    started_at: float | None
    completed_at: float | None
    error_message: str | None

    @property
    def short_id(self) -> str:
        return self.id[:SHORT_ID]

    @property
    def can_retry(self) -> bool:
        return self.retry_count < self.max_retries

    @property
    def is_dead_letter(self) -> bool:
        return self.status is JobStatus.FAILED and not self.can_retry

    @property
    def revived_retry_count(self) -> int:
        """Its count once it is queued again by a user: a retry, or for a dead letter a new start.

        A cancelled job did not fail, so its count stays.
        """
        if self.status is not JobStatus.FAILED:
            return self.retry_count
        return self.retry_count + 1 if self.can_retry else 0

    def check_may_become(self, status: JobStatus) -> None:
        """Raises UsageError when no transition leads there."""
        if not self.status.may_become(status):
            raise UsageError(f"job {self.short_id} is {self.status}, it cannot become {status}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job; void once the job's claim number is another."""

    job_id: str
    worker_id: str
    number: int
    task_id: int


@dataclass(frozen=True, slots=True)
class TakenBy:
    """A living process works on it."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is left to claim; `status` is None when the job was purged."""

    status: JobStatus | None
