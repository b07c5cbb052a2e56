"""Patterns mean in every level what SQLite's GLOB means."""

from __future__ import annotations

import contextlib
import random
import sqlite3

import pytest

from sttbatch.core.cache_entries import matches


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("chunk:*", "chunk:ab", True),
        ("chunk:*", "CHUNK:ab", False),
        ("chunk:?", "chunk:ab", False),
        ("*[2-4]", "a/b\n3", True),
        ("[^a]", "b", True),
        ("[!a]", "!", True),
        ("[a", "[a", False),
    ],
)
def test_what_a_pattern_matches(pattern: str, text: str, expected: bool) -> None:
    assert matches(pattern, text) is expected
    assert not matches(pattern, None)


def test_no_pattern_means_something_else_than_in_sqlite() -> None:
    chance = random.Random(0)
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for _ in range(20_000):
            pattern = "".join(chance.choices("ab-]^[*?c\n!\\", k=chance.randrange(8)))
            text = "".join(chance.choices("ab-]^[c\n!\\", k=chance.randrange(5)))
            (expected,) = db.execute("SELECT ? GLOB ?", (text, pattern)).fetchone()
            assert matches(pattern, text) == bool(expected), (pattern, text)
