"""Statements over the tables of metrics.db: runs, their measurements, and rollups of both.

To Prometheus a counter that falls is a restart, so that its whole value counts again. Therefore
expired rows are added to the rollups (table `carried`) in the transaction that deletes them, in
whole micros (millionths): sums of floats depend on their order and might fall by a trillionth.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict, astuple

from sttbatch.core.metrics import (
    BOUNDS,
    LIFETIME_METRICS,
    RUNS_BEGUN,
    RUNS_ENDED,
    WAIT_BOUNDS_S,
    Bucket,
    BusyRun,
    MeasuredRequest,
    Measurement,
    Metric,
    RunCounts,
    RunEnd,
    RunFacts,
    Window,
)
from sttbatch.database.database import Database
from sttbatch.database.store import Session
from sttbatch.database.usage_queries import MILLION, NO_BOUND, bound_of, buckets_by, micros

RETENTION_S = 30 * 86_400.0
EXPIRED_AT_ONCE = 20_000
"""Maximum number of measurements of a metric that one call removes; the next one continues."""

INSERT_RUN = """
    INSERT INTO runs (begun_at, engine, model, lanes, rate_limit)
    VALUES (:begun_at, :engine, :model, :lanes, :rate_limit) RETURNING id"""
INSERT_END = """
    INSERT INTO run_ends (run, ended_at, done, cached, failed, remaining, error)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
INSERT_MEASUREMENT = """
    INSERT INTO measurements (metric, at, number, value, label, subject, run)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""

_MEASURED_IN = "FROM measurements WHERE metric = ? AND at >= ? AND at < ?"
VALUES = f"SELECT value {_MEASURED_IN}"
LABELLED = f"{VALUES} AND label = ?"
TOTALS = f"SELECT label, sum(value) {_MEASURED_IN} GROUP BY label"
COUNTS = f"SELECT label, count(*) {_MEASURED_IN} GROUP BY label"
LATENCIES_BY = {
    by: f"""
    SELECT {key}, value FROM measurements JOIN runs ON runs.id = run
    WHERE metric = ? AND at >= ? AND at < ? AND label = 'ok' ORDER BY at"""  # noqa: S608
    for by, key in (
        ("model", "model"), ("engine", "engine"), ("day", "local_day(at)"), ("time", "at"),
    )
}  # fmt: skip

RUNS = """
    SELECT count(*), count(*) FILTER (WHERE ended_at IS NULL),
           count(*) FILTER (WHERE error IS NOT NULL)
    FROM runs LEFT JOIN run_ends ON run = id WHERE begun_at >= ? AND begun_at < ?"""
BUSY = """
    SELECT min(at - value), max(at), sum(value), max(lanes), max(rate_limit)
    FROM measurements JOIN runs ON runs.id = run
    WHERE metric = ? AND at >= ? AND at < ? GROUP BY run"""
BUSIEST_MINUTE = f"""
    SELECT coalesce(max(requests), 0) FROM (
        SELECT count(*) AS requests {_MEASURED_IN} GROUP BY CAST(at AS BIGINT) / 60) AS minutes"""  # noqa: S608
LAST_BEGUN = "SELECT begun_at, lanes FROM runs ORDER BY begun_at DESC LIMIT 1"
LAST_ENDED = """
    SELECT ended_at, done, cached, failed, remaining, error
    FROM run_ends ORDER BY ended_at DESC LIMIT 1"""
# Rows with the same run and number belong to the same request.
REQUESTS = """
    WITH last AS (
        SELECT run, begun_at FROM measurements JOIN runs ON runs.id = run
        WHERE metric = 'request_seconds' ORDER BY at DESC LIMIT 1)
    SELECT sent.at, sent.value, sent.label, sent.subject,
           coalesce(rate.value, 0.0), coalesce(queue.value, 0.0)
    FROM measurements AS sent
    LEFT JOIN measurements AS rate ON rate.metric = 'rate_wait_seconds'
        AND rate.at = sent.at AND rate.run = sent.run AND rate.number = sent.number
    LEFT JOIN measurements AS queue ON queue.metric = 'queue_wait_seconds'
        AND queue.at = sent.at AND queue.run = sent.run AND queue.number = sent.number
    WHERE sent.metric = 'request_seconds' AND sent.run = (SELECT run FROM last)
        AND sent.at >= (SELECT begun_at FROM last)
    ORDER BY sent.at DESC LIMIT ?"""

# (label, bound, count, micros) of rows older than `:before` that have not expired.
_MEASURED = """
    SELECT label, {bound} AS bound, count(*) AS count, {micros} AS micros FROM measurements
    WHERE metric = :name AND at < :before GROUP BY 1, 2"""
_BEGUN = f"""
    SELECT '' AS label, {NO_BOUND} AS bound, count(*) AS count, {MILLION} * count(*) AS micros
    FROM runs WHERE begun_at < :before"""  # noqa: S608 - of constants
_ENDED = f"""
    SELECT CASE WHEN error IS NOT NULL THEN 'stopped' WHEN failed > 0 THEN 'some_failed'
           ELSE 'succeeded' END AS label, {NO_BOUND} AS bound, count(*) AS count,
           {MILLION} * count(*) AS micros
    FROM run_ends JOIN runs ON runs.id = run WHERE begun_at < :before GROUP BY 1"""  # noqa: S608
_LIVE = {
    RUNS_BEGUN: _BEGUN,
    RUNS_ENDED: _ENDED,
    "wait": _MEASURED.format(bound=bound_of("value", WAIT_BOUNDS_S), micros=micros("value")),
    "counter": _MEASURED.format(bound=NO_BOUND, micros=micros("value")),
}
ROLL_UP = {
    kind: f"""
    INSERT INTO carried (metric, label, bound, count, millionths)
    SELECT :name, label, bound, count, micros FROM ({live}) AS live WHERE true
    ON CONFLICT (metric, label, bound) DO UPDATE SET
        count = carried.count + excluded.count,
        millionths = carried.millionths + excluded.millionths"""  # noqa: S608 - of constants
    for kind, live in _LIVE.items()
}
# One statement, so that no row expires between its two halves.
LIFETIME = {
    kind: f"""
    SELECT label, bound, sum(count), sum(micros) FROM (
        SELECT label, bound, count, millionths AS micros FROM carried WHERE metric = :name
        UNION ALL {live}) AS everything
    GROUP BY 1, 2 ORDER BY 1, 2"""  # noqa: S608 - of constants
    for kind, live in _LIVE.items()
}

RETAINED_SINCE = "SELECT ledger_now() - ?"
# A bound in time, as the rows are ordered by time.
EXPIRED_UNTIL = """
    SELECT at FROM measurements WHERE metric = ? AND at < ? ORDER BY at LIMIT 1 OFFSET ?"""
DELETE_MEASUREMENTS = "DELETE FROM measurements WHERE metric = ? AND at < ?"
DELETE_ENDS = "DELETE FROM run_ends WHERE run IN (SELECT id FROM runs WHERE begun_at < ?)"
DELETE_RUNS = "DELETE FROM runs WHERE begun_at < ?"

_EVER = 1e300


class Measurements:
    """A `MetricsStore` in metrics.db; measurements and runs expire at an age of `retention_s`."""

    def __init__(
        self,
        database: Database,
        retention_s: float = RETENTION_S,
        expired_at_once: int = EXPIRED_AT_ONCE,
    ) -> None:
        self._database = database
        self._retention_s = retention_s
        self._expired_at_once = expired_at_once

    async def begin(self, facts: RunFacts) -> int:
        row = asdict(facts)
        ((run,),) = await self._database.write(lambda db: db.execute(INSERT_RUN, row).fetchall())
        return int(run)

    async def record(self, run: int, measurements: Iterable[Measurement]) -> None:
        rows = [(*measurement, run) for measurement in measurements]
        await self._database.write(lambda db: db.executemany(INSERT_MEASUREMENT, rows))

    async def end(self, run: int, at: float, end: RunEnd) -> None:
        row = (run, at, *astuple(end))
        await self._database.write(lambda db: db.execute(INSERT_END, row))

    async def expire(self) -> None:
        await self._database.write(self._expire)

    def _expire(self, db: Session) -> None:
        (before,) = db.execute(RETAINED_SINCE, (self._retention_s,)).fetchone()
        for metric in Metric:
            row = (metric, before, self._expired_at_once)
            bound = db.execute(EXPIRED_UNTIL, row).fetchone()
            until = before if bound is None else bound[0]
            if metric in LIFETIME_METRICS:
                _roll_up(db, metric, until)
            db.execute(DELETE_MEASUREMENTS, (metric, until))
        # Ends first: the runs that they belong to decide their age.
        _roll_up(db, RUNS_ENDED, before)
        db.execute(DELETE_ENDS, (before,))
        _roll_up(db, RUNS_BEGUN, before)
        db.execute(DELETE_RUNS, (before,))

    async def values(
        self, metric: Metric, window: Window, label: str | None = None
    ) -> Sequence[float]:
        query, labels = (VALUES, ()) if label is None else (LABELLED, (label,))
        row = (metric, *window, *labels)

        def read(db: Session) -> Sequence[float]:
            # A million floats are 8 MB in an array and 32 in a list.
            return array("d", (value for (value,) in db.execute(query, row)))

        return await self._database.read(read)

    async def totals(self, metric: Metric, window: Window) -> dict[str, float]:
        return dict(await self._database.rows(TOTALS, (metric, *window)))

    async def counts(self, metric: Metric, window: Window) -> dict[str, int]:
        return dict(await self._database.rows(COUNTS, (metric, *window)))

    async def latencies(self, by: str, window: Window) -> list[tuple[Any, float]]:
        return await self._database.rows(LATENCIES_BY[by], (Metric.REQUEST_SECONDS, *window))

    async def runs(self, window: Window) -> RunCounts:
        (row,) = await self._database.rows(RUNS, window)
        return RunCounts(*row)

    async def busy_runs(self, window: Window) -> list[BusyRun]:
        rows = await self._database.rows(BUSY, (Metric.REQUEST_SECONDS, *window))
        return [BusyRun(*row) for row in rows]

    async def busiest_minute(self, window: Window) -> int:
        row = (Metric.REQUEST_SECONDS, *window)
        ((requests,),) = await self._database.rows(BUSIEST_MINUTE, row)
        return int(requests)

    async def last_begun(self) -> tuple[float, int] | None:
        return next(iter(await self._database.rows(LAST_BEGUN)), None)

    async def last_ended(self) -> tuple[float, RunEnd] | None:
        rows = await self._database.rows(LAST_ENDED)
        return next(((at, RunEnd(*end)) for at, *end in rows), None)

    async def last_requests(self, limit: int) -> list[MeasuredRequest]:
        return [MeasuredRequest(*row) for row in await self._database.rows(REQUESTS, (limit,))]

    async def lifetime(self, name: str) -> Mapping[str, list[Bucket]]:
        row = {"name": name, "before": _EVER}
        return buckets_by(await self._database.rows(LIFETIME[_kind(name)], row))


def _kind(name: str) -> str:
    """The key of a metric in `ROLL_UP` and `LIFETIME`."""
    return name if name in _LIVE else "wait" if name in BOUNDS else "counter"


def _roll_up(db: Session, name: str, before: float) -> None:
    """Add older rows to the rollups; the caller deletes them in the same transaction."""
    db.execute(ROLL_UP[_kind(name)], {"name": name, "before": before})
