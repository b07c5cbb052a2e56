"""What the repositories say to SQLite, PostgreSQL understands as well."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sttbatch.database.ledger_schema import LEDGER
from sttbatch.database.metrics_schema import METRICS
from sttbatch.database.migrations import History
from sttbatch.database.rates import RATES_HISTORY
from sttbatch.database.store import Session, Store
from tests.database.statements import modules, statements, values

# The rate limit's own file has no history: it is made anew where it is gone.
RATES = """CREATE TABLE rates (
    bucket TEXT, boot TEXT, state BLOB, PRIMARY KEY (bucket, boot)) STRICT"""
EVERYTHING = History(
    "sttbatch.all",
    "all tables",
    {
        **LEDGER,
        **{f"{name}_of_metrics": step for name, step in METRICS.items()},
        **RATES_HISTORY.steps,
        "x": (RATES,),
    },
)


@pytest.fixture
def history() -> History:
    return EVERYTHING


def refusal(store: Store, statement: str) -> str | None:
    """What the database says to a statement that is planned and not executed."""

    def plan(session: Session) -> None:
        session.execute(f"EXPLAIN {statement}", values(statement)).fetchall()

    try:
        store.read(plan)
    except store.faults as fault:
        return store.reason(fault)
    return None


def test_every_statement_is_planned_as_it_is(store: Store) -> None:
    known = statements()
    assert len(known) > 140
    assert "SELECT status, count(*) FROM processing_jobs GROUP BY status" in known
    refused = {text: reason for text in known if (reason := refusal(store, text))}
    assert [f"{known[text]}: {reason}: {text}" for text, reason in refused.items()] == []
    # The check itself.
    assert refusal(store, "SELECT no_column FROM requests WHERE at > ?")


def test_what_sqlite_alone_takes_is_found(store: Store, backend_name: str) -> None:
    reason = refusal(store, "SELECT sum(error IS NULL) FROM requests WHERE at > ?")
    told = {"sqlite": None, "postgresql": "function sum(boolean) does not exist"}
    assert reason == told[backend_name]


def test_no_statement_is_written_for_one_engine() -> None:
    """What is special about an engine is a fact of core, so that another one needs no statement."""
    for module in modules():
        assert module.__file__ is not None
        text = Path(module.__file__).read_text("utf-8")
        assert not re.search(r"'(local|cloudru)'", text), module.__name__


@pytest.mark.parametrize(
    ("marks", "given"), [("?, ?", [1, 1.5]), (":one, :half", {"one": 1, "half": 1.5})]
)
def test_placeholders_are_those_outside_of_text(
    store: Store, marks: str, given: list[float] | dict[str, float]
) -> None:
    columns = f"""':one', '?', '%', '%s', 'it''s ?', 7 % 4, {marks}"""
    query = f"SELECT {columns} FROM (SELECT 1 AS n) AS row WHERE '?' <> ':half'"
    rows = store.read(lambda session: session.execute(query, given).fetchall())
    assert rows == [(":one", "?", "%", "%s", "it's ?", 3, 1, 1.5)]
