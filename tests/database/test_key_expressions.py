"""Key patterns mean the same in every database."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

from sttbatch.core.cache_entries import expression_of, matches
from sttbatch.database.ledger_schema import LEDGER_HISTORY
from sttbatch.database.store import Session
from tests.database.backends import Backend

LETTERS = "ab-]^[*?c\n!\\.+{}()|$яA"


def test_no_pattern_means_something_else_than_here(backend: Backend, tmp_path: Path) -> None:
    chance = random.Random(0)
    pairs = [
        (
            "".join(chance.choices(LETTERS, k=chance.randrange(8))),
            "".join(chance.choices(LETTERS, k=chance.randrange(5))),
        )
        for _ in range(2000)
    ]

    def work(session: Session) -> list[bool]:
        rows = (
            session.execute("SELECT matches(?, ?)", (expression_of(pattern), text)).fetchone()
            for pattern, text in pairs
        )
        return [bool(found) for (found,) in rows]

    store = backend.store(tmp_path, LEDGER_HISTORY, time.time)
    store.open()
    with contextlib.closing(store):
        found = store.read(work)
    assert found == [matches(pattern, text) for pattern, text in pairs]
