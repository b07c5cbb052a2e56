"""What is missing or broken in a database is named, and repaired; over every database."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttbatch.database import checking
from sttbatch.database.checking import CheckResult
from sttbatch.database.hot_statements import LEDGER_STATEMENTS, METRICS_STATEMENTS
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS_HISTORY
from sttbatch.database.store import Session, Store
from tests.database.backends import Backend, PostgreSQLBackend

JOB = """INSERT INTO processing_jobs (id, file_sha256, stream, request_sha256, payload, created_at)
    VALUES ('j', 'f', 0, 'r', '{}', 1.0)"""


def schema(store: Store) -> CheckResult:
    return next(iter(checking.check_schema(store, LEDGER_HISTORY)))


def plan(store: Store, name: str) -> CheckResult:
    wanted = [each for each in LEDGER_STATEMENTS if each[0] == name]
    (found,) = checking.check_plans(store, wanted)
    return found


def test_every_frequent_statement_has_its_index(backend: Backend, tmp_path: Path) -> None:
    for history, statements in (
        (LEDGER_HISTORY, LEDGER_STATEMENTS),
        (METRICS_HISTORY, METRICS_STATEMENTS),
    ):
        with backend.opened(tmp_path, history) as store:
            store.analyze()
            found = list(checking.check_plans(store, statements))
        assert [each for each in found if not each.ok] == []
        assert all(each.text != "no table" for each in found)


def test_a_missing_index_and_the_scan_in_its_place_are_named_and_repaired(store: Store) -> None:
    name = "look at the outputs of recordings"
    assert schema(store).ok
    store.define("DROP INDEX outputs_source")
    assert schema(store) == CheckResult("schema", ok=False, text="missing: outputs_source")
    found = plan(store, name)
    assert (found.ok, found.text) == (False, "reads all of outputs")
    checking.repair(store, LEDGER_HISTORY)
    assert schema(store).ok


@pytest.mark.parametrize("table", ["outputs", "requests", "alerts"])
def test_a_missing_table_is_created_as_later_steps_changed_it(store: Store, table: str) -> None:
    columns = store.columns(table)
    store.define(f"DROP TABLE {table}")
    checking.repair(store, LEDGER_HISTORY)
    assert schema(store).ok
    assert store.columns(table) == columns


def test_a_missing_trigger_refuses_again(backend: Backend, store: Store) -> None:
    trigger = "processing_jobs_status"
    table = " ON processing_jobs" if isinstance(backend, PostgreSQLBackend) else ""
    store.define(f"DROP TRIGGER {trigger}{table}")
    assert schema(store).text == f"missing: {trigger}"
    checking.repair(store, LEDGER_HISTORY)
    assert schema(store).ok

    def finish_unclaimed(session: Session) -> None:
        session.execute(JOB)
        session.execute("UPDATE processing_jobs SET status = 'COMPLETED'")

    with pytest.raises(store.faults, match="a job cannot change its state that way"):
        store.transact(finish_unclaimed)


def test_what_must_not_be_is_counted_and_ended(store: Store) -> None:
    def spoil(session: Session) -> None:
        session.execute(JOB)
        session.execute(
            """INSERT INTO processing_tasks (job_id, claim_number, worker_id, started_at)
               VALUES ('j', 1, 'gone', 1.0)"""
        )
        session.execute(
            """INSERT INTO orders (id, job_id, path, root, outputs, route, ordered_at)
               VALUES ('o', 'j', ?, ?, '{}', 'here', 1.0)""",
            (b"/a", b"/"),
        )
        session.execute(
            """INSERT INTO chunk_tasks (chunk_key, worker_id, engine, model, chunk_index, status,
                   reserved_cost, started_at) VALUES ('c', 'w', 'e', 'm', 0, 'FAILED', 2.0, 1.0)"""
        )

    def invariants(session: Session) -> CheckResult:
        (found,) = checking.check_invariants(session)
        return found

    assert store.read(invariants).ok
    store.transact(spoil)
    assert store.read(invariants).text == (
        "1 attempts are open although their job is not being processed; "
        "1 costs are reserved for chunks that nobody sends; "
        "1 jobs have open orders without a route, or a route without open orders"
    )
    assert store.read(checking.workers_without_row) == ["gone"]
    store.transact(checking.repair_invariants)
    assert store.read(invariants).ok
    assert store.read(checking.workers_without_row) == []
