"""Every suite of this folder runs over every kind of ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.database.backends import BACKENDS
from tests.queue.harness import Ledger


@pytest.fixture(params=BACKENDS)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """An empty one of its own."""
    return Ledger(tmp_path, request.param)
