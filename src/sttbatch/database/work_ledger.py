"""Claims, reservations and requests: the tables `chunk_tasks` and `requests`."""

from __future__ import annotations

import asyncio
import time

from msgspec.structs import asdict

from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.language_models import TOKENS, TokensSent
from sttbatch.core.work import (
    AUDIO_SECONDS,
    PROBE,
    ROUNDING,
    Answered,
    Budgets,
    Granted,
    HeldBy,
    OverBudget,
    RequestRecord,
    Verdict,
    Void,
    WorkItem,
)
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.results import SqlResultStore
from sttbatch.database.store import Session
from sttbatch.database.usage_queries import PAID_S, micros
from sttbatch.database.workers import storable

HOLDER = "SELECT worker_id FROM chunk_tasks WHERE chunk_key = ? AND status = 'PROCESSING'"
GRANT = """
    INSERT INTO chunk_tasks (chunk_key, task_id, worker_id, engine, model, chunk_index,
                             reserved_cost, quantity, unit, started_at, status)
    VALUES (:key, :task_id, :worker_id, :engine, :model, :index, :cost, :quantity, :unit,
            ledger_now(), 'PROCESSING')
    ON CONFLICT (chunk_key) DO UPDATE SET
        task_id = excluded.task_id, worker_id = excluded.worker_id,
        engine = excluded.engine, model = excluded.model,
        chunk_index = excluded.chunk_index, reserved_cost = excluded.reserved_cost,
        quantity = excluded.quantity, unit = excluded.unit, started_at = excluded.started_at,
        retry_count = chunk_tasks.retry_count
                      + CASE WHEN chunk_tasks.status = 'FAILED' THEN 1 ELSE 0 END,
        status = 'PROCESSING', completed_at = NULL, error_message = NULL"""
COUNT_GRANTED = """
    UPDATE processing_tasks SET total_chunks = total_chunks + 1
    WHERE id = ? AND worker_id = ? AND status = 'PROCESSING'"""
END_CLAIM = """
    UPDATE chunk_tasks
    SET status = ?, reserved_cost = 0, completed_at = ledger_now(), error_message = ?
    WHERE chunk_key = ? AND status = 'PROCESSING' AND task_id = ? AND worker_id = ?"""
COUNT_COMPLETED = """
    UPDATE processing_tasks SET completed_chunks = completed_chunks + 1 WHERE id = ?"""

RECORD = """
    INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error, request_id,
                          latency_s, quantity, unit, generated, sent_bytes, cost, maybe_paid)
    VALUES (:at, :key, :engine, :model, :attempt, :status, :error, :request_id, :latency_s,
            :quantity, :unit, :generated, :sent_bytes, :cost, :maybe_paid)"""
IS_RECORDED = "SELECT 1 FROM requests WHERE chunk_key = ? AND at = ? AND attempt = ?"

# The request that was booked when a dead worker was reaped, at the time of its claim; the recovered
# request replaces it.
_RESERVED_REQUEST = """
    FROM requests WHERE chunk_key = :key AND status IS NULL AND at =
        (SELECT started_at FROM chunk_tasks
         WHERE chunk_key = :key AND worker_id = :worker AND status = 'FAILED')"""
KEEP_TOTALS = f"""
    INSERT INTO replaced_requests
        (engine, model, error, count, maybe_paid, cost_micros, paid_micros)
    SELECT engine, model, substr(error, 1, 40), count(*), sum(maybe_paid),
           {micros("CASE WHEN :is_paid THEN 0.0 ELSE cost END")},
           {micros(f"CASE WHEN :is_paid THEN 0.0 ELSE {PAID_S} END")}
    {_RESERVED_REQUEST} GROUP BY 1, 2, 3
    ON CONFLICT (engine, model, error) DO UPDATE SET
        count = replaced_requests.count + excluded.count,
        maybe_paid = replaced_requests.maybe_paid + excluded.maybe_paid,
        cost_micros = replaced_requests.cost_micros + excluded.cost_micros,
        paid_micros = replaced_requests.paid_micros + excluded.paid_micros"""
DROP_RESERVED = f"DELETE {_RESERVED_REQUEST}"
COMPLETE_LATE = """
    UPDATE chunk_tasks SET status = 'COMPLETED', error_message = NULL
    WHERE chunk_key = :key AND worker_id = :worker AND status = 'FAILED'"""

# Requests of `doctor` are too short to show how long a chunk takes.
LATENCIES = f"""
    SELECT quantity, latency_s FROM requests
    WHERE engine = ? AND model = ? AND error IS NULL AND chunk_key <> '{PROBE}'
      AND unit = '{AUDIO_SECONDS}'
    ORDER BY at DESC LIMIT ?"""  # noqa: S608 - of a constant

# Of the latest questions whose keys begin with one word.
TOKENS_SENT = f"""
    SELECT coalesce(sum(quantity - generated), 0), coalesce(sum(generated), 0),
           coalesce(sum(sent_bytes), 0)
    FROM (SELECT quantity, generated, sent_bytes FROM requests
          WHERE engine = ? AND model = ? AND error IS NULL AND unit = '{TOKENS}'
              AND chunk_key >= ? || ':' AND chunk_key < ? || ';'
          ORDER BY at DESC LIMIT ?) AS latest"""  # noqa: S608 - of a constant

SPENT = "SELECT coalesce(sum(cost), 0.0) FROM requests WHERE at >= ?"
RESERVED = """
    SELECT coalesce(sum(reserved_cost), 0.0) FROM chunk_tasks WHERE status = 'PROCESSING'"""


class SqlWorkLedger:
    """The `WorkLedger` of one worker; `budgets` are those of all processes together."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        results: SqlResultStore,
        spans: SqlChunkIndex,
        budgets: Budgets,
    ) -> None:
        self._database = database
        self._worker_id = worker_id
        self._results = results
        self._spans = spans
        self._budgets = budgets

    async def claim(self, item: WorkItem, task_id: int, *, force: bool = False) -> Verdict:
        granted = Granted(item, task_id, self._worker_id)
        verdict: Verdict | None = None

        def claim(session: Session) -> Verdict:
            nonlocal verdict
            if item.span is not None:
                self._spans.insert(session, item.span)
            holder = _holder(session, item.key)
            if not force and self._results.holds(session, item.key):
                verdict = Answered()
            elif holder is not None:
                verdict = HeldBy(holder)
            else:
                verdict = _over_budget(session, self._budgets, item.cost) or granted
            owner = (task_id, self._worker_id)
            if verdict is granted and not session.execute(COUNT_GRANTED, owner).rowcount:
                verdict = Void()
            if verdict is granted:
                row = asdict(granted) | asdict(item) | asdict(item.usage)
                session.execute(GRANT, row)
            return verdict

        def undo(session: Session) -> None:
            if verdict is granted:
                _end(session, granted, "cancelled before it was sent")

        try:
            return await self._database.write(claim)
        except asyncio.CancelledError:
            # The claim is written even so, and before this.
            await self._database.write(undo)
            raise

    async def store(self, granted: Granted, record: RequestRecord) -> None:
        def store(session: Session) -> None:
            self._put(session, record)
            _record(session, record)
            _end(session, granted)

        await self._database.write(store)

    async def record(self, record: RequestRecord) -> None:
        await self._database.write(lambda session: _record(session, record))

    async def give_up(self, granted: Granted, error: str) -> bool:
        return await self._database.write(lambda session: _end(session, granted, error))

    async def holder(self, key: str) -> str | None:
        return await self._database.read(lambda session: _holder(session, key))

    async def recover(self, record: RequestRecord) -> None:
        claim = {"key": record.item.key, "worker": record.worker_id}
        is_paid = record.request.paid or record.request.maybe_paid
        identity = (record.item.key, record.request.at, record.request.attempt)

        def recover(session: Session) -> None:
            # An earlier process may have been killed after the commit, before it removed the file.
            if session.execute(IS_RECORDED, identity).fetchone() is None:
                _record(session, record)
            session.execute(KEEP_TOTALS, claim | {"is_paid": is_paid})
            session.execute(DROP_RESERVED, claim)
            # A living worker may still hold the claim.
            error = None if record.value is not None else record.request.error or "not answered"
            _end(session, Granted(record.item, record.task_id, record.worker_id), error)
            if record.value is not None:
                session.execute(COMPLETE_LATE, claim)
                # A result that was stored meanwhile is newer.
                if not self._results.holds(session, record.item.key):
                    self._put(session, record)

        await self._database.write(recover)

    async def latencies(self, engine: str, model: str, limit: int) -> list[tuple[float, float]]:
        return await self._database.rows(LATENCIES, (engine, model, limit))

    async def tokens_sent(self, engine: str, model: str, kind: str, limit: int) -> TokensSent:
        rows = await self._database.rows(TOKENS_SENT, (engine, model, kind, kind, limit))
        return TokensSent(*map(int, rows[0]))

    def _put(self, session: Session, record: RequestRecord) -> None:
        assert record.value is not None
        item = record.item
        value = CacheValue(record.value)
        self._results.insert(session, item.key, value, item.model, item.file_sha256)


def _end(session: Session, granted: Granted, error: str | None = None) -> bool:
    """End a claim and its reservation; False: another worker has claimed the item since."""
    status = "COMPLETED" if error is None else "FAILED"
    claim = (granted.item.key, granted.task_id, granted.worker_id)
    ended = session.execute(END_CLAIM, (status, storable(error), *claim)).rowcount
    if ended and error is None:
        session.execute(COUNT_COMPLETED, (granted.task_id,))
    return bool(ended)


def _record(session: Session, record: RequestRecord) -> None:
    row = asdict(record.item) | asdict(record.item.usage) | asdict(record.request)
    row |= {"cost": record.cost, "maybe_paid": int(record.request.maybe_paid)}
    row |= {name: storable(row[name]) for name in ("error", "request_id")}
    session.execute(RECORD, row)


def _holder(session: Session, key: str) -> str | None:
    row = session.execute(HOLDER, (key,)).fetchone()
    return None if row is None else str(row[0])


def _over_budget(session: Session, budgets: Budgets, cost: float) -> OverBudget | None:
    """The budget that `cost` would exceed, if any; free requests exceed none.

    Reservations count in full: a claim from before midnight may be billed after it.
    """
    (now,) = session.execute("SELECT ledger_now()").fetchone()
    for setting, limit, since in (
        ("budget_per_day", budgets.per_day, midnight(now)),
        ("budget_per_month", budgets.per_month, first_of_month(now)),
    ):
        if limit is not None and cost:
            (spent,) = session.execute(SPENT, (since,)).fetchone()
            (reserved,) = session.execute(RESERVED).fetchone()
            if spent + reserved + cost > limit + ROUNDING:
                return OverBudget(setting, limit, spent + reserved)
    return None


def midnight(now: float) -> float:
    """When the local day of `now` began; both in seconds since the epoch."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, -1, -1, -1))


def first_of_month(now: float) -> float:
    """When the local month of `now` began; both in seconds since the epoch."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, 1, 0, 0, 0, -1, -1, -1))
