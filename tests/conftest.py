"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloudru import CloudRu
from tests.shell import Shell


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def cloudru() -> Iterator[CloudRu]:
    """An endpoint over TLS and HTTP/2 that hears what recordings say."""
    with CloudRu() as running:
        yield running
    assert running.errors == []


@pytest.fixture
def shell(home: Path, cloudru: CloudRu) -> Shell:
    """The command line, with a key and an endpoint that takes it."""
    return Shell(home, cloudru)
