"""Jobs: what is to be done for one content and request, who does it, and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any

from msgspec import Struct

from sttbatch.core.errors import UsageError
from sttbatch.core.work import AUDIO_SECONDS, Usage

SHORT_ID = 8
"""Characters of an id in tables and messages; commands accept any unique prefix."""

TRANSCRIPTION = "transcription"
SUMMARY = "summary"
TRANSLATION = "translation"
EMBEDDING = "embedding"
KINDS = (TRANSCRIPTION, SUMMARY, TRANSLATION, EMBEDDING)
"""The kinds of jobs and of requests. Keys of the answers of language models begin with theirs."""


class JobStatus(StrEnum):
    """The state of a job."""

    QUEUED = "QUEUED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset(
        {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED}
    ),
    JobStatus.COMPLETED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""Every legal change of state; the trigger `processing_jobs_status` refuses all others."""

TERMINAL = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})
"""No worker processes such a job unless it is queued again."""


class JobPriority(IntEnum):
    """Higher goes first; changes only while a job is queued."""

    HIGH = 3
    MEDIUM = 2
    LOW = 1


class JobSpec(Struct, frozen=True):
    """What is to be done; never changes once it is queued.

    Attributes:
        kind: which kind of job knows what the payload means.
        version: of the payload's shape. 1, as sttbatch 0.1 wrote it and as it is written of what
            cannot be read, says too little to run the job by its id.
        payload: values that JSON knows. Lists and statistics show its `recording` and how much it
            is, where it says so: `quantity` in a `unit` that is billed, or `audio_s`.
    """

    kind: str
    version: int
    payload: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its name in lists; copies of a recording, and later names, are the same job."""
        return str(self.payload.get("recording", ""))

    @property
    def usage(self) -> Usage:
        """What was expected to be billed when it was queued."""
        quantity = self.payload.get("quantity", self.payload.get("audio_s", 0.0))
        return Usage(str(self.payload.get("unit", AUDIO_SECONDS)), float(quantity))

    def to_json(self) -> str:
        """The payload with its version, in ASCII, as databases reject lone surrogates."""
        version = {"version": self.version} if self.version > 1 else {}
        return json.dumps({**version, **self.payload}, sort_keys=True)

    @staticmethod
    def from_json(kind: str, text: str) -> JobSpec:
        payload = json.loads(text)
        return JobSpec(kind, payload.pop("version", 1), payload)


class Job(Struct, frozen=True):
    """A job's row as it was when it was read; times are seconds since the epoch.

    Attributes:
        retry_count: how often it was queued again after a failure.
        claim_number: grows with every claim; a claim with an older one has lost the job.
        worker_id: who holds it, while it is PROCESSING.
        error_message: of its last failure; None once it is completed.
    """

    id: str
    file_sha256: str
    stream: int
    request_sha256: str
    spec: JobSpec
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
    def waits_for_user(self) -> bool:
        """Whether no run processes it until a user queues it again."""
        return self.status is JobStatus.CANCELLED or self.is_dead_letter

    def is_outdated(self, version: int) -> bool:
        """Whether it failed in an older version than `version`, or could not be read then.

        Its spec is not enough to run it, so that a new job replaces it.
        """
        return self.status is JobStatus.FAILED and self.spec.version < version

    @property
    def revived_retry_count(self) -> int:
        """Its count after a user queues it again; a dead letter begins again with all retries."""
        if self.status is not JobStatus.FAILED:
            return self.retry_count
        return self.retry_count + 1 if self.can_retry else 0

    def check_may_become(self, status: JobStatus) -> None:
        """Raises UsageError when that is no legal transition."""
        if status not in TRANSITIONS[self.status]:
            raise UsageError(f"job {self.short_id} is {self.status} and cannot become {status}")


class Claim(Struct, frozen=True):
    """A worker's exclusive right to a job; void once the job has a higher claim number."""

    job_id: str
    worker_id: str
    number: int
    task_id: int


class TakenBy(Struct, frozen=True):
    """A worker holds the job; that worker may be dead."""

    worker_id: str


class Ended(Struct, frozen=True):
    """The job has ended, so it cannot be claimed; `status` is None when it was purged."""

    status: JobStatus | None


class WorkerState(StrEnum):
    """The state of a worker; a run of `transcribe` has the first one.

    IDLE: it waits for jobs. DRAINING: it ends after what is in flight is stored. OFFLINE: its
    heartbeats ended.
    """

    RUN = ""
    ACTIVE = "ACTIVE"
    IDLE = "IDLE"
    DRAINING = "DRAINING"
    OFFLINE = "OFFLINE"


class WorkerLoad(Struct, frozen=True):
    """What a worker says of itself with its heartbeats.

    Attributes:
        lanes: how many requests it sends at once.
        busy_lanes: how many of these it sends now.
        recordings: how many jobs it processes.
        route: of the jobs that it takes, as in `Order`.
    """

    lanes: int = 0
    busy_lanes: int = 0
    recordings: int = 0
    state: WorkerState = WorkerState.RUN
    route: str = ""


class Worker(Struct, frozen=True):
    """A process that works on jobs, since `started_at` (seconds since the epoch).

    Attributes:
        host: where it runs, as `Liveness.host` names it.
        silent_s: seconds since its last heartbeat when it was read, both by the ledger's clock.
    """

    id: str
    host: str
    pid: int
    started_at: float
    silent_s: float = 0.0
    load: WorkerLoad = WorkerLoad()

    @property
    def machine(self) -> str:
        """The name of its machine."""
        return self.host.partition(" ")[0]

    @property
    def label(self) -> str:
        return f"PID {self.pid} on {self.machine}"


class JobAttempt(Struct, frozen=True):
    """One worker's attempt at a job; times are seconds since the epoch.

    Attributes:
        status: PROCESSING, COMPLETED, FAILED or RELEASED.
        total_chunks: number of chunks claimed so far, without cached ones.
        completed_chunks: number of those that were answered.
    """

    claim_number: int
    worker_id: str
    status: str
    total_chunks: int
    completed_chunks: int
    started_at: float
    completed_at: float | None


class ChunkTask(Struct, frozen=True):
    """A chunk whose last claim belongs to a job.

    Attributes:
        status: PROCESSING, COMPLETED or FAILED.
        reserved_cost: counted against budgets while it is PROCESSING.
        quantity: what it consumes, in `unit`.
        request_id: what the endpoint called the last request that it answered; for its support.
    """

    chunk_key: str
    index: int
    claim_number: int
    worker_id: str
    status: str
    retry_count: int
    reserved_cost: float
    quantity: float
    unit: str
    started_at: float
    completed_at: float | None
    error_message: str | None
    request_id: str | None
