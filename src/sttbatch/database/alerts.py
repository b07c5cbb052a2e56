"""Statements of alerts: values of their metrics, and the table `alerts`."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sttbatch.database.database import Database
from sttbatch.database.request_kinds import KIND
from sttbatch.database.store import Session

_REQUESTS = "FROM requests WHERE at > ledger_now() - :window_s"
_JOBS = "FROM processing_jobs AS job WHERE"
FIGURES: Mapping[str, str] = {
    "failed_share": f"SELECT avg(CASE WHEN error IS NULL THEN 0.0 ELSE 1.0 END) {_REQUESTS}",
    "requests": f"SELECT count(*) {_REQUESTS}",
    "retries": f"SELECT count(*) {_REQUESTS} AND attempt > 1",
    "maybe_paid": f"SELECT count(*) {_REQUESTS} AND maybe_paid <> 0",
    "cost": f"SELECT coalesce(sum(cost), 0.0) {_REQUESTS}",
    "audio_seconds": f"""
        SELECT coalesce(sum(quantity), 0.0) {_REQUESTS}
        AND error IS NULL AND unit = 'audio_seconds'""",
    "tokens": f"""
        SELECT coalesce(sum(quantity), 0.0) {_REQUESTS} AND error IS NULL AND unit = 'tokens'""",
    # A job that failed and was queued again counts as failed until it is done.
    "jobs_failed": f"""
        SELECT count(*) {_JOBS} (status = 'FAILED' AND completed_at > ledger_now() - :window_s
           OR status IN ('QUEUED', 'PROCESSING') AND EXISTS (
               SELECT 1 FROM processing_tasks AS attempt
               WHERE attempt.job_id = job.id AND attempt.status = 'FAILED'
                 AND attempt.completed_at > ledger_now() - :retried_window_s))""",  # noqa: S608 - of a constant
}
ANSWERED = f"SELECT count(*) {_REQUESTS} AND error IS NULL"
LATENCY = f"""
    SELECT latency_s {_REQUESTS} AND error IS NULL
    ORDER BY latency_s LIMIT 2 OFFSET :below"""
PERCENTILES = {"latency_p50": 0.50, "latency_p95": 0.95, "latency_p99": 0.99}

FIRE = """INSERT INTO alerts (name, condition, fired_at) VALUES (?, ?, ledger_now())
          ON CONFLICT DO NOTHING"""
CLEAR = "DELETE FROM alerts WHERE name = ? AND condition = ?"
SINCE = "SELECT fired_at FROM alerts WHERE name = ? AND condition = ?"

_EVER_S = 1e12


class Alerts:
    """An `AlertStore` in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def value(
        self, metric: str, window_s: float, kind: str | None = None, *, unresolved: bool = False
    ) -> float | None:
        row: dict[str, float | str] = {"window_s": window_s}
        if kind is not None:
            row["kind"] = kind
        if metric in PERCENTILES:
            share = PERCENTILES[metric]
            return await self._database.read(lambda db: latency_percentile(db, share, row))
        if metric == "jobs_failed":
            row["retried_window_s"] = _EVER_S if unresolved else window_s
        query = _of_kind(FIGURES[metric], row)
        return await self._database.read(lambda db: _number(db, query, row))

    async def fire(self, name: str, condition: str) -> bool:
        row = (name, condition)
        return await self._database.write(lambda db: db.execute(FIRE, row).rowcount == 1)

    async def clear(self, name: str, condition: str) -> None:
        await self._database.write(lambda db: db.execute(CLEAR, (name, condition)))

    async def since(self, name: str, condition: str) -> float | None:
        return await self._database.read(lambda db: _number(db, SINCE, (name, condition)))


def _of_kind(query: str, row: Mapping[str, float | str]) -> str:
    """The query of requests or jobs of one kind, if the row has one."""
    if "kind" not in row:
        return query
    of_kind = query.replace(_REQUESTS, f"{_REQUESTS} AND {KIND} = :kind")
    return of_kind.replace(_JOBS, f"{_JOBS} job_type = upper(:kind) AND")


def latency_percentile(db: Session, share: float, row: Mapping[str, float | str]) -> float | None:
    """A percentile of latencies in seconds, linearly interpolated as in numpy."""
    (answers,) = db.execute(_of_kind(ANSWERED, row), row).fetchone()
    if not answers:
        return None
    below, rest = divmod(share * (answers - 1), 1)
    rows = db.execute(_of_kind(LATENCY, row), {**row, "below": math.floor(below)})
    nearest = [float(latency_s) for (latency_s,) in rows]
    return float(nearest[0] + rest * (nearest[-1] - nearest[0]))


def _number(
    db: Session, query: str, values: tuple[str, ...] | Mapping[str, float | str]
) -> float | None:
    row = db.execute(query, values).fetchone()
    return None if row is None or row[0] is None else float(row[0])
