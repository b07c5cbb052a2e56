"""Look-ups of many values by few queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sttbatch.database.database import Database
from sttbatch.database.session import Session

VALUES_A_QUERY = 500


def expand(statement: str, count: int) -> str:
    """`statement` with a mark for each of `count` values in place of `?*`."""
    return statement.replace("?*", ", ".join("?" * count))


async def read_batches(
    database: Database, statement: str, values: Sequence[object], *others: object
) -> list[Any]:
    """The rows of `statement` for all `values`, a few hundred at a time.

    `statement` has `IN (?*)` once or more, each time for the same values; `others` are those of
    the marks behind them.
    """
    rows: list[Any] = []
    repeats = range(statement.count("?*"))
    for at in range(0, len(values), VALUES_A_QUERY):
        batch = values[at : at + VALUES_A_QUERY]
        row = (*(value for _ in repeats for value in batch), *others)
        rows += await database.read(partial(_fetch, expand(statement, len(batch)), row))
    return rows


def _fetch(statement: str, row: Sequence[object], session: Session) -> list[Any]:
    return session.execute(statement, row).fetchall()
