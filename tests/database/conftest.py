"""A store over every kind of database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.migrations import History
from sttbatch.database.store import Store
from tests.database.backends import Backend


@pytest.fixture
def history() -> History:
    """The tables of `store`."""
    return LEDGER_HISTORY


@pytest.fixture
def store(backend: Backend, tmp_path: Path, history: History) -> Iterator[Store]:
    with backend.opened(tmp_path, history) as opened:
        yield opened
