"""Orders: who asked for which outputs of a job, where."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from sttbatch.core.jobs import Claim, Job

CANCELLED = "it was cancelled; `sttbatch jobs retry` queues it again"
"""The error of the orders of a cancelled job."""


class Order(Struct, frozen=True):
    """A request for the outputs of a job; many may wait for one job.

    Whoever ends the job, or finds the order of a job that has ended, fulfils it.

    Attributes:
        id: the same for the same job, path and outputs.
        path: of the recording, absolute.
        root: of the folder that was walked, absolute; outputs elsewhere mirror the tree below it.
        outputs: JSON that the kind of job understands.
        route: which workers may take it, as `JobKind.route` names it.
        force: the job is done again even if its result is stored.
        done_at: when it was closed, in seconds since the epoch; None: it is open.
        error: why it could not be fulfilled, or not wholly.
        written: the path of its first output.
    """

    id: str
    job_id: str
    path: str
    root: str
    outputs: str
    route: str
    force: bool = False
    done_at: float | None = None
    error: str | None = None
    written: str | None = None

    @staticmethod
    def of(job_id: str, path: str, root: str, outputs: str, route: str, *, force: bool) -> Order:
        """A new order, to be placed."""
        facts = "\0".join((job_id, path, root, outputs))
        digest = hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()
        return Order(digest[:32], job_id, path, root, outputs, route, force)


class OrderEnd(Struct, frozen=True):
    """How an order ends; `error` and `written` as in `Order`."""

    order_id: str
    job_id: str
    error: str | None = None
    written: str | None = None


class NotSeen(Struct, frozen=True):
    """A job whose recording a host does not see, or in whose place it finds other content.

    `reason` names the host as people know it; `age_s` is for how long that is known.
    """

    job_id: str
    host: str
    reason: str
    age_s: float


class Assignment(Struct, frozen=True):
    """A job for one worker.

    Attributes:
        claim: on the job; None: it has ended, and open orders of it wait for its outputs.
        next_s: seconds of audio that the jobs which follow it in the queue send, a few of them.
    """

    job: Job
    claim: Claim | None
    next_s: tuple[float, ...] = ()
