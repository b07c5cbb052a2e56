"""The endpoint that most of its tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .clients import hears_two
from .server import CloudRu


@pytest.fixture
def endpoint() -> Iterator[CloudRu]:
    """One that takes any bytes for a second of speech."""
    with CloudRu(recognise=hears_two) as running:
        yield running
    assert running.errors == []
