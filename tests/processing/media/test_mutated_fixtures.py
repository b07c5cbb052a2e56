"""Damaged recordings: each is read as far as it goes or fails with a reason, whatever is in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cloudru import CloudRu, Heard
from tests.shell import Shell

from .hostile import read_through, transcribe_mutations
from .mutations import FIXTURES, MUTATIONS, mutated

COUNT = 16


@pytest.mark.slow
def test_each_is_read_or_named(tmp_path: Path, home: Path) -> None:
    """Some of the thousand that tests/slow takes through the command line."""
    with CloudRu(recognise=lambda _: Heard((), 0.0)) as endpoint:
        transcribe_mutations(Shell(home, endpoint), tmp_path / "recordings", range(COUNT))


def test_every_kind_and_every_fixture_is_among_them() -> None:
    names = [mutated(number)[0] for number in range(COUNT)]
    assert all(any(f"-{kind}" in name for name in names) for kind in MUTATIONS)
    assert {Path(name).suffix for name in names} == {path.suffix for path in FIXTURES}


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    examples=st.lists(
        st.tuples(
            st.sampled_from(FIXTURES),
            st.lists(
                st.tuples(st.integers(0, 1 << 20), st.binary(max_size=64), st.integers(0, 4096)),
                max_size=6,
            ),
            st.integers(0, 40_000),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_no_bytes_kill_a_worker(
    tmp_path_factory: pytest.TempPathFactory,
    examples: list[tuple[Path, list[tuple[int, bytes, int]], int]],
) -> None:
    """Any edits of a fixture's beginning, probed and split; hypothesis shrinks what fails."""
    recordings = []
    for path, edits, kept in examples:
        data = bytearray(path.read_bytes()[: 4096 + kept])
        for at, new, dropped in edits:
            begin = at % (len(data) + 1)
            data[begin : begin + dropped] = new
        recordings.append(bytes(data))
    asyncio.run(read_through(tmp_path_factory.mktemp("fuzzed"), recordings))
