"""Statements about usage in the ledger, which keeps every request: work, cost, failures.

The only requests that are removed are those that a killed run was sending: they count as failed and
possibly billed until their answers are recovered from the spool. Figures of a window then show them
as answered; lifetime totals, which must never fall, still count the failures
(`replaced_requests`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from sttbatch.core.jobs import JobSpec, JobStatus
from sttbatch.core.language_models import TOKENS
from sttbatch.core.metrics import (
    DURATION_BOUNDS_S,
    Bucket,
    KindTotal,
    RecordingOutcome,
    RequestFigures,
    RequestTotal,
    Window,
)
from sttbatch.database.database import Database
from sttbatch.database.request_kinds import KIND
from sttbatch.database.workers import FREE

MILLION = 1_000_000
NO_BOUND = 1e308
"""Upper bound of the last bucket; rows of `carried` from older versions have infinity instead."""

Key = TypeVar("Key", bound=Hashable)


def micros(expression: str) -> str:
    """SQL that sums an expression in whole millionths."""
    return f"sum(CAST(round(({expression}) * {MILLION}) AS BIGINT))"


def bound_of(column: str, bounds: Sequence[float]) -> str:
    """SQL for the upper bound of a value's bucket."""
    cases = " ".join(f"WHEN {column} <= {bound} THEN {float(bound)}" for bound in bounds)
    return f"CASE {cases} ELSE {NO_BOUND} END"


def buckets_by(rows: Iterable[tuple[Key, float, int, int]]) -> dict[Key, list[Bucket]]:
    """Rows of (key, bound, count, micros) as buckets by key."""
    buckets: defaultdict[Key, list[Bucket]] = defaultdict(list)
    for key, bound, count, total in rows:
        buckets[key].append(Bucket(bound, count, total / MILLION))
    return buckets


_SENT_S = "CASE WHEN unit = 'audio_seconds' THEN quantity ELSE 0.0 END"
PAID_S = f"""CASE WHEN unit = 'audio_seconds' AND engine NOT IN ({FREE})
                AND (error IS NULL OR maybe_paid <> 0) THEN quantity ELSE 0.0 END"""
# Reservations of killed runs have no part in them, as they may be replaced by less.
_TOKENS = ", ".join(
    f"CAST(sum(CASE WHEN unit = 'tokens' AND error IS NULL THEN {part} ELSE 0.0 END) AS BIGINT)"
    for part in ("quantity - generated", "generated")
)

REQUESTS_BY = {
    by: f"""
    SELECT {group}, count(*), count(*) FILTER (WHERE error IS NULL),
           count(*) FILTER (WHERE attempt > 1), count(*) FILTER (WHERE error IS NOT NULL),
           sum(maybe_paid), sum(cost), sum(sent_bytes), sum({PAID_S}), {_TOKENS}
    FROM requests WHERE at >= ? AND at < ? GROUP BY 1 ORDER BY 1"""  # noqa: S608 - of constants
    for by, group in (
        ("all", "''"), ("model", "model"), ("engine", "engine"), ("kind", KIND),
        ("day", "local_day(at)"),
    )
}  # fmt: skip
REQUEST_TOTALS = f"""
    SELECT engine, model, status, substr(error, 1, 40), count(*), sum(maybe_paid),
           {micros("cost")}, sum(sent_bytes), {micros(_SENT_S)}, {micros(PAID_S)}
    FROM requests GROUP BY 1, 2, 3, 4
    UNION ALL SELECT engine, model, NULL, error, count, maybe_paid, cost_micros, 0, 0, paid_micros
    FROM replaced_requests"""  # noqa: S608 - of constants
KIND_TOTALS = f"""
    SELECT {KIND}, model, count(*), {micros("cost")}, {_TOKENS}
    FROM requests WHERE error IS NULL GROUP BY 1, 2 ORDER BY 1, 2"""  # noqa: S608 - of constants
LATENCIES_BY_KIND = f"""
    SELECT {KIND}, latency_s FROM requests
    WHERE at >= ? AND at < ? AND error IS NULL"""  # noqa: S608 - of constants
DURATIONS = f"""
    SELECT engine, model, {bound_of("latency_s", DURATION_BOUNDS_S)}, count(*),
           {micros("latency_s")}
    FROM requests WHERE error IS NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""  # noqa: S608

JOBS = "SELECT status, count(*) FROM processing_jobs GROUP BY status"
DEAD_LETTERS = """
    SELECT count(*) FROM processing_jobs WHERE status = 'FAILED' AND retry_count >= max_retries"""
_OUTCOMES = """
    SELECT job_type, payload, completed_at - started_at, error_message, completed_at
    FROM processing_jobs
    WHERE status = '{}' AND completed_at >= ? AND completed_at < ? ORDER BY {} DESC LIMIT ?"""
SLOWEST = _OUTCOMES.format("COMPLETED", "completed_at - started_at")
FAILED = _OUTCOMES.format("FAILED", "completed_at")


class UsageFigures:
    """A `UsageStore` in the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def requests_by(self, by: str, window: Window) -> dict[str, RequestFigures]:
        rows = await self._database.rows(REQUESTS_BY[by], window)
        return {name: RequestFigures(*figures) for name, *figures in rows}

    async def request_totals(self) -> list[RequestTotal]:
        return [RequestTotal(*row) for row in await self._database.rows(REQUEST_TOTALS)]

    async def kind_totals(self) -> list[KindTotal]:
        return [KindTotal(*row) for row in await self._database.rows(KIND_TOTALS)]

    async def latencies_by_kind(self, window: Window) -> list[tuple[str, float]]:
        return await self._database.rows(LATENCIES_BY_KIND, window)

    async def durations(self) -> Mapping[tuple[str, str], list[Bucket]]:
        rows = await self._database.rows(DURATIONS)
        return buckets_by(((engine, model), *bucket) for engine, model, *bucket in rows)

    async def jobs_by_state(self) -> Mapping[str, int]:
        return dict.fromkeys(map(str, JobStatus), 0) | dict(await self._database.rows(JOBS))

    async def dead_letters(self) -> int:
        ((count,),) = await self._database.rows(DEAD_LETTERS)
        return int(count)

    async def slowest(self, window: Window, limit: int) -> list[RecordingOutcome]:
        return await self._outcomes(SLOWEST, window, limit)

    async def failed(self, window: Window, limit: int) -> list[RecordingOutcome]:
        return await self._outcomes(FAILED, window, limit)

    async def _outcomes(self, query: str, window: Window, limit: int) -> list[RecordingOutcome]:
        outcomes = []
        for job_type, payload, *rest in await self._database.rows(query, (*window, limit)):
            spec = JobSpec.from_json(job_type.lower(), self._database.seal.opened_text(payload))
            usage = spec.usage
            tokens = int(usage.quantity) if usage.unit == TOKENS else 0
            outcome = RecordingOutcome(spec.title, usage.audio_s, *rest)
            outcomes.append(replace(outcome, kind=spec.kind, tokens=tokens))
        return outcomes
