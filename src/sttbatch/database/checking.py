"""Checks a database: its schema and invariants, its indexes, and the plans of hot statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from sttbatch.database.hot_statements import HotStatement
from sttbatch.database.migrations import History
from sttbatch.database.order_rows import SET_ROUTE
from sttbatch.database.store import Session, Store

INVARIANTS = {
    "jobs are processed by workers that are gone": """
        SELECT count(*) FROM processing_jobs
        WHERE worker_id IS NOT NULL AND worker_id NOT IN (SELECT id FROM workers)""",
    "attempts are open although their job is not being processed": """
        SELECT count(*) FROM processing_tasks AS task
        WHERE status = 'PROCESSING' AND NOT EXISTS (
            SELECT 1 FROM processing_jobs AS job WHERE job.id = task.job_id
                AND job.claim_number = task.claim_number AND job.status = 'PROCESSING')""",
    "chunks are claimed by workers that are gone": """
        SELECT count(*) FROM chunk_tasks
        WHERE status = 'PROCESSING' AND worker_id NOT IN (SELECT id FROM workers)""",
    "costs are reserved for chunks that nobody sends": """
        SELECT count(*) FROM chunk_tasks WHERE reserved_cost <> 0 AND status <> 'PROCESSING'""",
    "jobs have open orders without a route, or a route without open orders": """
        SELECT count(*) FROM processing_jobs AS job WHERE (route IS NULL) = EXISTS (
            SELECT 1 FROM orders WHERE orders.job_id = job.id AND orders.done_at IS NULL)""",
    "results that recordings refer to are missing": """
        SELECT count(*) FROM entry_files WHERE key NOT IN (SELECT key FROM cache_entries)""",
}
"""What must not be: how many rows there are of it."""

# In one statement: a worker may register and claim a job between two.
_GONE = """
    SELECT worker_id FROM (
        SELECT worker_id FROM processing_jobs WHERE worker_id IS NOT NULL
        UNION SELECT worker_id FROM processing_tasks WHERE status = 'PROCESSING'
        UNION SELECT worker_id FROM chunk_tasks WHERE status = 'PROCESSING') AS holders
    WHERE worker_id NOT IN (SELECT id FROM workers)"""
_REPAIRS = (
    """UPDATE processing_tasks SET status = 'RELEASED', completed_at = ledger_now()
       WHERE status = 'PROCESSING' AND NOT EXISTS (
           SELECT 1 FROM processing_jobs AS job WHERE job.id = processing_tasks.job_id
               AND job.claim_number = processing_tasks.claim_number
               AND job.status = 'PROCESSING')""",
    f"""{SET_ROUTE}
       WHERE (route IS NULL) = EXISTS (
           SELECT 1 FROM orders
           WHERE orders.job_id = processing_jobs.id AND orders.done_at IS NULL)""",  # noqa: S608 - of a constant
    "UPDATE chunk_tasks SET reserved_cost = 0 WHERE status <> 'PROCESSING'",
    "DELETE FROM entry_files WHERE key NOT IN (SELECT key FROM cache_entries)",
)


class CheckResult(Struct, frozen=True):
    """The result of one check; `text` says what was found."""

    name: str
    ok: bool
    text: str


def missing_objects(store: Store, history: History) -> list[str]:
    """The tables, indexes and triggers that are not there, in the order of their creation."""
    there = store.objects()
    return [name for name in history.objects if name not in there]


def check_schema(store: Store, history: History) -> Iterator[CheckResult]:
    missing = missing_objects(store, history)
    yield CheckResult(
        "schema",
        not missing,
        f"missing: {', '.join(missing)}" if missing else f"{len(history.objects)} objects",
    )
    damage = store.integrity()
    yield CheckResult("integrity", not damage, damage[0] if damage else "sound")


def check_invariants(session: Session) -> Iterator[CheckResult]:
    broken = [
        f"{count} {what}"
        for what, query in INVARIANTS.items()
        if (count := session.execute(query).fetchone()[0])
    ]
    yield CheckResult("invariants", not broken, "; ".join(broken) or f"{len(INVARIANTS)} hold")


def check_plans(store: Store, statements: Iterable[HotStatement]) -> Iterator[CheckResult]:
    """The index of each statement; one that reads a whole table is not ok."""
    for name, statement, values in statements:
        scans = store.scans(statement, values)
        whole = [scan.table for scan in scans if scan.is_whole and scan.index is None]
        used = ", ".join(dict.fromkeys(scan.index for scan in scans if scan.index is not None))
        text = f"reads all of {', '.join(whole)}" if whole else used or "no table"
        yield CheckResult(f"to {name}", not whole, text)


def repair(store: Store, history: History) -> None:
    """Create what is missing, and rebuild every index."""
    for name in missing_objects(store, history):
        for statement in history.definition(name):
            store.define(statement)
    store.rebuild_indexes()


def workers_without_row(session: Session) -> Sequence[str]:
    """The workers that hold something and have no row."""
    return [worker for (worker,) in session.execute(_GONE).fetchall()]


def repair_invariants(session: Session) -> None:
    """End what nobody ends, after the workers that hold something were reaped."""
    for statement in _REPAIRS:
        session.execute(statement)
