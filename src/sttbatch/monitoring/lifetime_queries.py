"""Totals of all time out of the ledger, which keeps every request: what was sent and what it cost.

One kind of row leaves it: what a run was sending when it was killed counts as failed and maybe
paid, until its answer turns up in the spool; then both of these fall by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sttbatch.database.session import Session
from sttbatch.monitoring.lifetime_totals import MILLION, Bucket, bound_of, millionths
from sttbatch.monitoring.statistics import JOBS

DURATION_BOUNDS_S = (
    0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600,
)  # fmt: skip
"""Upper ends of the buckets of an answer's time. Another set reads as a restart to Prometheus."""

NO_CAUSE = "none"
"""The cause of what did not fail."""

# As the collector names causes: the status, or what happened to the connection.
REQUESTS = f"""
    SELECT engine, model,
           CASE WHEN error IS NULL THEN '{NO_CAUSE}' WHEN status = 200 THEN 'unreadable answer'
                WHEN status IS NOT NULL THEN CAST(status AS TEXT)
                ELSE substr(error, 1, min(40, instr(error || ':', ':') - 1,
                                          instr(error || ',', ',') - 1)) END,
           count(*), sum(maybe_paid), {millionths("cost")}, sum(sent_bytes),
           {millionths("quantity")},
           {millionths("iif((error IS NULL OR maybe_paid) AND engine <> 'local', quantity, 0.0)")}
    FROM requests GROUP BY 1, 2, 3"""  # noqa: S608 - of constants
DURATIONS = f"""
    SELECT engine, model, {bound_of("latency_s", DURATION_BOUNDS_S)}, count(*),
           {millionths("latency_s")}
    FROM requests WHERE error IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""  # noqa: S608
DEAD_LETTERS = """
    SELECT count(*) FROM processing_jobs WHERE status = 'FAILED' AND retry_count >= max_retries"""

JOB_STATES = ("QUEUED", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class RequestTotal:
    """All posts to one engine and model that ended alike.

    Attributes:
        cause: why no answer came, or NO_CAUSE.
        sent_s: seconds of audio in them.
        paid_s: those that were billed, or may have been.
    """

    engine: str
    model: str
    cause: str
    count: int
    maybe_paid: int
    cost: float
    sent_bytes: int
    sent_s: float
    paid_s: float


def request_totals(ledger: Session) -> list[RequestTotal]:
    return [
        RequestTotal(
            engine, model, cause, count, maybe_paid,
            cost / MILLION, sent_bytes, sent / MILLION, paid / MILLION,
        )
        for engine, model, cause, count, maybe_paid, cost, sent_bytes, sent, paid
        in ledger.execute(REQUESTS)
    ]  # fmt: skip


def durations(ledger: Session) -> dict[tuple[str, str], list[Bucket]]:
    """How long answers took, by engine and model."""
    found: dict[tuple[str, str], list[Bucket]] = {}
    for engine, model, bound, count, total in ledger.execute(DURATIONS):
        found.setdefault((engine, model), []).append(Bucket(bound, count, total / MILLION))
    return found


def jobs_by_state(ledger: Session) -> Mapping[str, int]:
    """As they are now; states without a job are 0."""
    return dict.fromkeys(JOB_STATES, 0) | dict(ledger.execute(JOBS).fetchall())


def dead_letters(ledger: Session) -> int:
    (count,) = ledger.execute(DEAD_LETTERS).fetchone()
    return int(count)
