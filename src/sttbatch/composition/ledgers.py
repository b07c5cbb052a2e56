"""The ledger of work, over the tables of results and spans."""

from __future__ import annotations

from sttbatch.caching.chunk_index import ChunkIndex
from sttbatch.caching.ledger_level import LedgerLevel
from sttbatch.core.work import Budgets
from sttbatch.database.database import Database
from sttbatch.database.work_ledger import SqlWorkLedger


def work_ledger(
    database: Database,
    results: LedgerLevel,
    worker_id: str = "",
    budgets: Budgets | None = None,
) -> SqlWorkLedger:
    """`worker_id` is empty where requests are booked and nothing is claimed."""
    spans = ChunkIndex(results)
    return SqlWorkLedger(database, worker_id, results, spans, budgets or Budgets())
