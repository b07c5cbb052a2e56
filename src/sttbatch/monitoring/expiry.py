"""What metrics.db forgets, and when; totals of all time go on without it."""

from __future__ import annotations

from sttbatch.database.session import Session
from sttbatch.monitoring.lifetime_totals import CARRIED, RUNS_BEGUN, RUNS_ENDED, carry
from sttbatch.monitoring.metrics import Metric

RETENTION_S = 30 * 86_400.0
EXPIRED_AT_ONCE = 20_000
"""Measurements removed by one run at most; a backlog is worked off by several."""

# The bound is a point in time, as that is what the rows are ordered by.
_UNTIL = """
    SELECT min(:before, coalesce(
        (SELECT at FROM measurements WHERE metric = :metric ORDER BY at LIMIT 1 OFFSET :bound),
        :before))"""


def expire(db: Session, now: float) -> None:
    """Remove what is older than the retention, `EXPIRED_AT_ONCE` rows of each kind at most.

    To be called in a transaction.
    """
    before = now - RETENTION_S
    for metric in Metric:
        row = {"metric": metric.value, "before": before, "bound": EXPIRED_AT_ONCE}
        (until,) = db.execute(_UNTIL, row).fetchone()
        if metric in CARRIED:
            carry(db, metric, until)
        db.execute("DELETE FROM measurements WHERE metric = ? AND at < ?", (metric, until))
    # Ends first: they are known to be old by the run they belong to.
    carry(db, RUNS_ENDED, before)
    db.execute(
        "DELETE FROM run_ends WHERE run IN (SELECT id FROM runs WHERE begun_at < ?)", (before,)
    )
    carry(db, RUNS_BEGUN, before)
    db.execute("DELETE FROM runs WHERE begun_at < ?", (before,))
