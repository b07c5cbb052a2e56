"""Totals since the first run: of what metrics.db still holds, and of what it has forgotten.

To Prometheus a counter that falls began anew, and its whole value counts once more. So what expires
is added to the table `carried` first, in the same transaction. Sums are whole millionths: those of
floats depend on their order, and would fall by a trillionth now and then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sttbatch.database.session import Session
from sttbatch.monitoring.metrics import Metric

MILLION = 1_000_000

WAIT_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
BOUNDS: Mapping[str, Sequence[float]] = {
    Metric.QUEUE_WAIT_SECONDS: WAIT_BOUNDS_S,
    Metric.RATE_WAIT_SECONDS: WAIT_BOUNDS_S,
    Metric.PREPARATION_SECONDS: WAIT_BOUNDS_S,
}
"""Upper ends of buckets, seconds; all other metrics are only counted and summed up.

Never to be changed: what has expired is known by these bounds alone.
"""

RUNS_BEGUN = "runs_begun"
RUNS_ENDED = "runs_ended"
RUN_OUTCOMES = ("succeeded", "some_failed", "stopped")

# The ledger has these for ever; LANES is no total of anything.
NOT_CARRIED = frozenset(
    {Metric.REQUEST_SECONDS, Metric.REQUEST_AUDIO_SECONDS, Metric.UPLOAD_BYTES, Metric.LANES}
)
CARRIED = tuple(metric for metric in Metric if metric not in NOT_CARRIED)


# What metrics.db still holds from before `:before`.
MEASURED = """
    SELECT label, {bound}, count(*), {millionths} FROM measurements
    WHERE metric = :name AND at < :before GROUP BY 1, 2"""
BEGUN = """
    SELECT '', 9e999, count(*), 1000000 * count(*) FROM runs WHERE begun_at < :before"""
ENDED = """
    SELECT CASE WHEN error IS NOT NULL THEN 'stopped' WHEN failed THEN 'some_failed'
           ELSE 'succeeded' END, 9e999, count(*), 1000000 * count(*)
    FROM run_ends JOIN runs ON runs.id = run WHERE begun_at < :before GROUP BY 1"""

CARRY = """
    INSERT INTO carried (metric, label, bound, count, millionths)
    SELECT :name, * FROM ({kept}) WHERE true
    ON CONFLICT (metric, label, bound) DO UPDATE SET
        count = count + excluded.count, millionths = millionths + excluded.millionths"""
ALL_TIME = """
    SELECT label, bound, sum(count), sum(millionths) FROM (
        SELECT label, bound, count, millionths FROM carried WHERE metric = :name
        UNION ALL {kept})
    GROUP BY 1, 2 ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """How many values there were above the bound before and up to this one, and their sum."""

    bound: float
    count: int
    total: float


def millionths(expression: str) -> str:
    """SQL that sums an expression up in whole millionths."""
    return f"sum(CAST(round(({expression}) * {MILLION}) AS INTEGER))"


def bound_of(column: str, bounds: Sequence[float]) -> str:
    """SQL for the upper end of a value's bucket; 9e999 is SQLite's infinity."""
    if not bounds:
        return "9e999"
    cases = " ".join(f"WHEN {column} <= {bound} THEN {float(bound)}" for bound in bounds)
    return f"CASE {cases} ELSE 9e999 END"


def kept(name: str) -> str:
    """SQL for (label, bound, count, millionths) of a metric, or of runs."""
    if name == RUNS_BEGUN:
        return BEGUN
    if name == RUNS_ENDED:
        return ENDED
    bound = bound_of("value", BOUNDS.get(name, ()))
    return MEASURED.format(bound=bound, millionths=millionths("value"))


def carry(db: Session, name: str, before: float) -> None:
    """Add what is older to the totals; the caller removes it in the same transaction."""
    db.execute(CARRY.format(kept=kept(name)), {"name": name, "before": before})


def all_time(db: Session, name: str) -> dict[str, list[Bucket]]:
    """Buckets by label, in order; those without a value are left out.

    One statement, so that nothing expires between its two halves.
    """
    rows = db.execute(ALL_TIME.format(kept=kept(name)), {"name": name, "before": math.inf})
    found: dict[str, list[Bucket]] = {}
    for label, bound, count, total in rows:
        found.setdefault(label, []).append(Bucket(bound, count, total / MILLION))
    return found
