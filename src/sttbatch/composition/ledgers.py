"""The ledger of work, over the tables of results and spans."""

from __future__ import annotations

from sttbatch.core.work import Budgets
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.database import Database
from sttbatch.database.results import SqlResultStore
from sttbatch.database.work_ledger import SqlWorkLedger


def work_ledger(
    database: Database,
    results: SqlResultStore,
    worker_id: str = "",
    budgets: Budgets | None = None,
) -> SqlWorkLedger:
    """`worker_id` is empty where requests are booked and nothing is claimed."""
    spans = SqlChunkIndex(database, results)
    return SqlWorkLedger(database, worker_id, results, spans, budgets or Budgets())
