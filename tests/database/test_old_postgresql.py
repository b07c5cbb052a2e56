"""A PostgreSQL ledger that the first sttbatch with PostgreSQL left opens, and is migrated."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import psycopg
import pytest

from sttbatch.database import checking
from sttbatch.database.ledger_schema import LEDGER, LEDGER_HISTORY
from sttbatch.database.metrics_schema import METRICS, METRICS_HISTORY
from sttbatch.database.opening import open_ledger, open_rates, postgresql_store
from sttbatch.database.rates import RATES_HISTORY
from sttbatch.database.results import SqlResultStore
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL

DUMP = Path(__file__).with_name("old_postgresql.sql")
HISTORIES = (LEDGER_HISTORY, METRICS_HISTORY, RATES_HISTORY)


@pytest.fixture
def url(postgresql_server: PostgreSQL, tmp_path: Path) -> str:
    """The address of the old ledger, in a schema of its own."""
    del postgresql_server
    address = schema_url(tmp_path)
    schema = address.rpartition("%3D")[2]
    dump = DUMP.read_text("utf-8").replace("public.", f"{schema}.")
    with psycopg.connect(address) as server:
        server.execute(dump.encode())
    return address


def test_everything_is_there_and_all_steps_are_applied(url: str, tmp_path: Path) -> None:
    for history in HISTORIES:
        store = postgresql_store(url, history)
        store.open()
        with contextlib.closing(store):
            found = list(checking.check_schema(store, history))
            if history is LEDGER_HISTORY:
                found += store.read(lambda session: list(checking.check_invariants(session)))
        assert [each for each in found if not each.ok] == []
    with psycopg.connect(url) as server:
        rows = server.execute("SELECT name FROM schema_steps ORDER BY history, name").fetchall()
    assert [name for (name,) in rows] == [*LEDGER, *METRICS, *RATES_HISTORY.steps]

    async def story() -> tuple[int, int, float]:
        with contextlib.closing(open_ledger(tmp_path, url)) as database:
            entries = [each async for each in SqlResultStore(database).check()]
            jobs = await database.rows("SELECT id FROM processing_jobs WHERE status = 'COMPLETED'")
        rates = open_rates(tmp_path, url, "https://here", lambda _: None)
        async with contextlib.aclosing(rates):
            slot = await rates.change(lambda _, now: now)
        return sum(each.is_sound for each in entries), len(jobs), slot

    sound, jobs, slot = asyncio.run(story())
    assert (sound, jobs) == (2, 1)
    assert slot > 0
