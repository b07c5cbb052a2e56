"""Checks the databases of the settings, and repairs what can be repaired."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import data_folder, opened_stores
from sttbatch.database import checking
from sttbatch.database.checking import CheckResult
from sttbatch.database.database import Database
from sttbatch.database.hot_statements import LEDGER_STATEMENTS, METRICS_STATEMENTS, HotStatement
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.migrations import History
from sttbatch.database.opening import open_metrics
from sttbatch.database.store import Store


async def check_databases(settings: Settings, *, explain: bool, repair: bool) -> list[CheckResult]:
    """Check the ledger and its metrics; `repair` repairs first.

    Raises StateError if one cannot be opened.
    """
    with (
        opened_stores(settings) as stores,
        contextlib.closing(open_metrics(data_folder(settings), settings.database_url)) as metrics,
    ):
        ledger = stores.database
        await stores.workers.sweep()
        if repair:
            for worker in await ledger.read(checking.workers_without_row):
                await stores.workers.reap_if_dead(worker)
            await ledger.write(checking.repair_invariants)
        found = await _checked(
            ledger, LEDGER_HISTORY, LEDGER_STATEMENTS, explain=explain, repair=repair
        )
        invariants = await ledger.read(lambda session: list(checking.check_invariants(session)))
        found += _of(LEDGER_HISTORY, invariants)
        found += await _checked(
            metrics, METRICS_HISTORY, METRICS_STATEMENTS, explain=explain, repair=repair
        )
        described = await ledger.maintain(lambda store: store.describe())
    return [*found, CheckResult("database", ok=True, text=described)]


async def _checked(
    database: Database,
    history: History,
    statements: Iterable[HotStatement],
    *,
    explain: bool,
    repair: bool,
) -> list[CheckResult]:
    def check(store: Store) -> list[CheckResult]:
        if repair:
            checking.repair(store, history)
        store.analyze()
        found = list(checking.check_schema(store, history))
        if explain:
            found += checking.check_plans(store, statements)
        return _of(history, found)

    return await database.maintain(check)


def _of(history: History, results: Iterable[CheckResult]) -> list[CheckResult]:
    """Results that name their database."""
    kind = history.name.rpartition(".")[2]
    return [CheckResult(f"{kind}, {each.name}", each.ok, each.text) for each in results]
