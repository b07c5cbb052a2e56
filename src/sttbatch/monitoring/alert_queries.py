"""Metrics for alerts, counted in the ledger: what was posted, what it cost, which jobs failed."""

from __future__ import annotations

import math

from sttbatch.database.database import Database
from sttbatch.database.session import Session

# Each takes the window's beginning, in seconds since the epoch.
QUERIES = {
    "failed_share": "SELECT avg(error IS NOT NULL) FROM requests WHERE at > ?",
    "requests": "SELECT count(*) FROM requests WHERE at > ?",
    "retries": "SELECT count(*) FROM requests WHERE at > ? AND attempt > 1",
    "maybe_paid": "SELECT count(*) FROM requests WHERE at > ? AND maybe_paid",
    "cost": "SELECT total(cost) FROM requests WHERE at > ?",
    "audio_seconds": "SELECT total(quantity) FROM requests WHERE at > ? AND error IS NULL",
    "jobs_failed": """SELECT count(*) FROM processing_jobs
                      WHERE status = 'FAILED' AND completed_at > ?""",
}
ANSWERED = "SELECT count(*) FROM requests WHERE at > ? AND error IS NULL"
LATENCY = """SELECT latency_s FROM requests WHERE at > ? AND error IS NULL
             ORDER BY latency_s LIMIT 2 OFFSET ?"""

PERCENTILES = {"latency_p50": 0.50, "latency_p95": 0.95, "latency_p99": 0.99}


class LedgerReadings:
    """`Readings` over the tables that money is counted from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def value(self, metric: str, window_s: float, now: float) -> float | None:
        """The metric over the last `window_s` seconds; None where there is nothing to measure.

        Raises:
            StateError: the ledger cannot be read.
        """
        since = now - window_s
        if metric in PERCENTILES:
            return await self._database.read(
                lambda db: latency_percentile(db, PERCENTILES[metric], since)
            )
        query = QUERIES[metric]
        return await self._database.read(lambda db: _number(db, query, since))


def latency_percentile(db: Session, share: float, since: float) -> float | None:
    """Seconds, between the two nearest answers by linear interpolation, as numpy does it."""
    (answers,) = db.execute(ANSWERED, (since,)).fetchone()
    if not answers:
        return None
    below, rest = divmod(share * (answers - 1), 1)
    found = [float(row[0]) for row in db.execute(LATENCY, (since, math.floor(below)))]
    return float(found[0] + rest * (found[-1] - found[0]))


def _number(db: Session, query: str, since: float) -> float | None:
    (found,) = db.execute(query, (since,)).fetchone()
    return None if found is None else float(found)
