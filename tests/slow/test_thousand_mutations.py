"""A thousand damaged recordings in one run of the command line, and each by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cloudru import CloudRu, Heard
from tests.processing.media.hostile import read_through, transcribe_mutations
from tests.processing.media.mutations import mutated
from tests.shell import Shell

COUNT = 1000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_in_one_run(tmp_path: Path, home: Path) -> None:
    with CloudRu(recognise=lambda _: Heard((), 0.0)) as endpoint:
        failed = transcribe_mutations(Shell(home, endpoint), tmp_path / "recordings", range(COUNT))
    assert COUNT / 5 < failed < COUNT


def test_each_by_itself(tmp_path: Path) -> None:
    """With the worker of the one before."""
    found = asyncio.run(read_through(tmp_path, (mutated(number)[1] for number in range(COUNT))))
    assert len(found) == COUNT
