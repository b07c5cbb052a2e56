"""Outputs are recorded in every kind of ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.queue.harness import Ledger


@pytest.fixture
def ledger(backend_name: str, tmp_path: Path) -> Ledger:
    """An empty one of its own."""
    return Ledger(tmp_path, backend_name)
