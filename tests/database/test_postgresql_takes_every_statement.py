"""What the repositories say to SQLite, PostgreSQL understands as well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.postgresql import PostgreSQL, postgresql, programs
from tests.database.statements import FUNCTIONS, modules, prepared, statements, tables


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL 15 or newer is not installed (Debian: postgresql)")
    with postgresql(found) as running:
        yield running


def test_every_statement_is_prepared_as_it_is(server: PostgreSQL) -> None:
    assert server.errors([*tables(), *FUNCTIONS]) == {}
    known = statements()
    assert len(known) > 140
    assert "SELECT status, count(*) FROM processing_jobs GROUP BY status" in known
    scripts = {prepared(text, number): text for number, text in enumerate(known)}
    refused = server.errors(list(scripts))
    assert [
        f"{known[scripts[each]]}: {error}: {scripts[each]}" for each, error in refused.items()
    ] == []
    # The check itself: SQLite takes this one.
    wrong = prepared("SELECT sum(error IS NULL) FROM requests WHERE at > ?", len(known))
    assert "sum(boolean) does not exist" in server.errors([wrong])[wrong]


def test_no_statement_is_written_for_one_engine() -> None:
    """What is special about an engine is a fact of core, so that another one needs no statement."""
    for module in modules():
        assert module.__file__ is not None
        text = Path(module.__file__).read_text("utf-8")
        assert not re.search(r"'(local|cloudru)'", text), module.__name__


def test_placeholders_are_numbered() -> None:
    by_position = prepared("SELECT ':a', '?' WHERE at > ? AND b = ?", 1)
    assert by_position == "PREPARE statement_1 AS SELECT ':a', '?' WHERE at > $1 AND b = $2"
    by_name = prepared("SELECT :b, :a, :b", 2)
    assert by_name == "PREPARE statement_2 AS SELECT $1, $2, $1"
