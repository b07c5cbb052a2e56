"""The ports of jobs, of work that is paid for, and of workers."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from sttbatch.core.jobs import (
    TERMINAL,
    ChunkTask,
    Claim,
    Ended,
    Job,
    JobAttempt,
    JobPriority,
    JobSpec,
    JobStatus,
    TakenBy,
    Worker,
    WorkerLoad,
)
from sttbatch.core.language_models import TokensSent
from sttbatch.core.orders import Assignment, NotSeen, Order, OrderEnd
from sttbatch.core.work import Granted, RequestRecord, Verdict, WorkItem


class JobStore(Protocol):
    """The queue. It knows who holds a job and not who is alive: `JobQueue` asks `Liveness`."""

    async def enqueue(
        self,
        file_sha256: str,
        stream: int,
        request_sha256: str,
        spec: JobSpec,
        priority: JobPriority = JobPriority.MEDIUM,
        max_retries: int = 3,
        *,
        revive: bool = False,
    ) -> Job:
        """The job of this content and request: the active one, a revived one, or a new one.

        A failed job with retries left is revived. One that is cancelled or a dead letter is
        returned unchanged unless `revive`; one that `is_outdated` by the spec is replaced. A
        queued job is raised to `priority`, never lowered, since a user may have raised it. The spec
        and `max_retries` of an existing job do not change.
        """

    async def claim(
        self, job_id: str, worker: Worker, *, revive_failed: bool = False
    ) -> Claim | TakenBy | Ended:
        """Claim a queued job, or with `revive_failed` a failed one; counts as a heartbeat.

        Raises WorkerReaped if the worker had been reaped, and changes nothing.
        """

    async def complete(self, claim: Claim) -> bool:
        """PROCESSING -> COMPLETED. False: the claim is void, and nothing was changed."""

    async def fail(self, claim: Claim, error: str) -> bool:
        """PROCESSING -> FAILED. False: the claim is void, and nothing was changed."""

    async def release(self, claim: Claim, error: str | None = None) -> bool:
        """PROCESSING -> QUEUED, no retry counted. False: the claim is void.

        `error` is why the attempt failed, if that is a hindrance.
        """

    async def retry(self, job_id: str) -> Job | TakenBy:
        """Queue a failed or cancelled job again; a queued one is returned unchanged.

        Raises UsageError when there is no such job, or it is completed.
        """

    async def retry_failed(self) -> builtins.list[Job]: ...

    async def cancel(self, job_id: str) -> Job | TakenBy:
        """QUEUED -> CANCELLED. Raises UsageError when there is no such job, or it has ended."""

    async def set_priority(self, job_id: str, priority: JobPriority) -> Job | TakenBy:
        """Raises UsageError when it is not queued."""

    async def purge(
        self, older_than_s: float = 0.0, statuses: Collection[JobStatus] = TERMINAL
    ) -> int:
        """Remove jobs that ended, or were queued if QUEUED, so long ago; returns how many.

        Their attempts and chunks are removed too; paid results are kept. A job that is PROCESSING
        is never removed.
        """

    async def forget(self, job_ids: Collection[str]) -> None:
        """Remove jobs that nobody holds."""

    async def unfinished(self, stream: int, request_sha256: str) -> dict[str, str]:
        """Ids of this request's queued and failed jobs, by content hash."""

    async def queued_above(self, priority: int, limit: int, ids: Sequence[str]) -> dict[str, int]:
        """Priorities above `priority`, by id, of the first `limit` queued jobs and of `ids`."""

    async def list(
        self, status: JobStatus | None = None, limit: int | None = None, kind: str | None = None
    ) -> builtins.list[Job]:
        """PROCESSING, then QUEUED, both in the order of the queue, then ended ones newest first."""

    async def find(self, prefix: str) -> Job:
        """The job with this id; raises UsageError when no job, or several, match the prefix."""

    async def jobs(self, job_ids: Collection[str]) -> dict[str, Job]:
        """Those that exist, by id."""

    async def of_contents(self, file_sha256s: Collection[str]) -> builtins.list[Job]:
        """All jobs of recordings with these contents."""

    async def attempts(self, job_id: str) -> builtins.list[JobAttempt]:
        """In the order of their claims."""

    async def chunks(self, job_id: str) -> builtins.list[ChunkTask]:
        """In the order of the recording."""


class OrderStore(Protocol):
    """Orders, and which hosts do not see a recording.

    A job that is queued, processed or completed has a route as long as it has an open order; the
    end of a job that fails or is cancelled closes its orders with that error.
    """

    async def place(self, orders: Sequence[Order]) -> set[str]:
        """Add orders, or open them again; returns the ids of those whose job still exists.

        An order of a job that has failed, or was cancelled, is closed at once.
        """

    async def open(self, job_id: str) -> builtins.list[Order]:
        """The open orders of a job, the oldest first."""

    async def waiting(self, job_ids: Collection[str]) -> set[str]:
        """Those of the jobs that have an open order."""

    async def find(self, order_ids: Collection[str]) -> dict[str, Order]:
        """Those that exist, by id."""

    async def close(self, ends: Sequence[OrderEnd]) -> None:
        """Close orders that are open, or that the end of their job closed."""

    async def close_all(self, job_id: str, error: str) -> None:
        """Close the open orders of a job with an error."""

    async def routed(
        self, route: str, status: JobStatus, host: str, limit: int, above: JobPriority | None = None
    ) -> builtins.list[Job]:
        """Jobs with open orders, by priority, then age, without those that `host` does not see.

        Their priority is higher than `above`. Those that were just completed are left to who did.
        """

    async def rung(self, route: str, job_id: str, host: str) -> Job | None:
        """A job with open orders, unless it has another route or `host` does not see it."""

    async def ring(
        self, route: str, lost_s: float, limit: int
    ) -> builtins.list[tuple[str, JobPriority]]:
        """The ids of jobs that a broker is to get messages of, by priority, then age.

        Those are the ones that it has not got since they were queued, or longer than `lost_s`
        seconds ago; from now on they count as rung.
        """

    async def unring(self, job_ids: Collection[str]) -> None:
        """Record that a broker did not get the messages of these jobs."""

    async def queued(self, route: str) -> dict[JobPriority, tuple[int, float]]:
        """How many jobs with open orders wait, and for how many seconds the oldest one does."""

    async def holders(self, route: str) -> set[str]:
        """Ids of the workers that process jobs with open orders."""

    async def note_unseen(self, job_id: str, host: str, reason: str) -> None:
        """Record that a host does not see the recording of a job."""

    async def unseen(self, route: str, limit: int) -> builtins.list[NotSeen]:
        """What hosts do not see of waiting jobs of a route, by job, the oldest first."""


class JobDispatcher(Protocol):
    """Routes jobs to one worker."""

    async def next(
        self,
        skip: Collection[str] = (),
        above: JobPriority | None = None,
        *,
        ahead: bool = False,
    ) -> Assignment | None:
        """The next job for this worker, but for the ids in `skip`; None: there is none now.

        The highest priority, which is higher than `above`, comes first, then the oldest; it is
        claimed for this worker. `ahead` says that its lanes have work already; then it gets none
        if the lanes of the other workers are enough for all jobs that are queued.
        """

    async def wait(self) -> None:
        """Return when there may be a job again: soon after one was there, after 1 s at most."""


class WorkerStore(Protocol):
    """The rows of processes that share a ledger."""

    async def register(self, worker_id: str, host: str, pid: int) -> Worker:
        """Add a row; its first heartbeat is now."""

    async def heartbeat(self, worker: Worker, load: WorkerLoad | None = None) -> bool:
        """Record that it is alive. False: it had been reaped, so what it held is lost."""

    async def tell(self, worker_id: str, load: WorkerLoad) -> None:
        """Record what a worker does now; no heartbeat, so one that was reaped stays so."""

    async def reap(self, worker_id: str, *, killed: bool) -> None:
        """Queue a worker's jobs again, book its requests as possibly billed, remove its row.

        `killed` decides the error text of those requests.
        """

    async def find(self, worker_ids: Collection[str]) -> dict[str, Worker]:
        """Those that have a row, by id."""

    async def list(self) -> list[Worker]: ...


class Liveness(Protocol):
    """Which workers are alive; never used within a transaction.

    Every method raises `StateError` when that cannot be found out.
    """

    @property
    def host(self) -> str:
        """Identifies the machine, and the folder of locks if there is one."""

    @property
    def heartbeat_s(self) -> float:
        """Seconds from one heartbeat to the next."""

    @property
    def lease_s(self) -> float:
        """Seconds after its last heartbeat for which a worker may send; less than its expiry."""

    def hold(self, worker_id: str) -> AbstractContextManager[None]:
        """Show a worker of this process as alive until the block ends."""

    def is_alive(self, worker_id: str, worker: Worker | None) -> bool:
        """Whether a worker is alive; `worker` is its row, if it has one."""

    def forget(self, worker_id: str) -> None:
        """Remove a dead worker's files."""

    def sweep(self, known: Collection[str]) -> None:
        """Remove the files of dead workers that are not `known`, which are those with a row."""


class WorkLedger(Protocol):
    """Claims on items, and the requests and results that follow."""

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        """Reserve the right to send an item of a claimed job, and its cost.

        Stored results, other claims and budgets are checked in the same transaction; the span is
        remembered in any case. A call that is cancelled leaves no claim. `task_id` is that of the
        claim on the item's job; `force` grants the item even if its result is stored.
        """

    async def store(self, granted: Granted, record: RequestRecord) -> None:
        """Store the result, book the request that brought it, and end the claim."""

    async def record(self, record: RequestRecord) -> None:
        """Book a request that brought no result, or one that is not stored."""

    async def give_up(self, granted: Granted, error: str) -> bool:
        """End a claim whose requests, if any, are booked; False: it was lost before."""

    async def holder(self, key: str) -> str | None:
        """The id of the worker that has claimed an item, if any."""

    async def recover(self, record: RequestRecord) -> None:
        """Book a request that could not be booked before, at most once; a newer result stays."""

    async def latencies(self, engine: str, model: str, limit: int) -> list[tuple[float, float]]:
        """(quantity, seconds until the answer) of the latest answered requests."""

    async def tokens_sent(self, engine: str, model: str, kind: str, limit: int) -> TokensSent:
        """The tokens of the latest answered questions of a kind, such as `summary`."""
