"""Copies the tables of one store into another, empty one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sttbatch.core.errors import StateError
from sttbatch.database.database import Session, Store
from sttbatch.database.store_facts import Columns
from sttbatch.database.workers import storable

BATCH = 100
"""Rows held in memory; a transcript may have a megabyte."""

LEFT_OUT = frozenset({"workers"})
"""Processes work at one ledger."""


def copy_tables(source: Store, target: Store, tables: Sequence[str]) -> dict[str, int]:
    """Copy all rows in one transaction; returns their numbers by table.

    Both stores are open, and no process works at either. Raises StateError if the target has rows.
    """
    columns = {table: source.columns(table) for table in tables if table not in LEFT_OUT}

    def copy(to: Session) -> dict[str, int]:
        for table in columns:
            if to.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608 - a name of ours
                raise StateError(f"{target.title} is not empty: it has rows in {table}")
        copied = source.read(
            lambda session: {
                table: _copy_table(session, to, table, each) for table, each in columns.items()
            }
        )
        target.after_copy(to)
        return copied

    return target.transact(copy)


def row_counts(store: Store, tables: Sequence[str]) -> dict[str, int]:
    """The numbers of rows by table, of those that are copied."""
    return store.read(
        lambda session: {
            table: session.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a name of ours
            for table in tables
            if table not in LEFT_OUT
        }
    )


def _copy_table(source: Session, target: Session, table: str, columns: Columns) -> int:
    names = ", ".join(columns.names)
    marks = ", ".join("?" * len(columns.names))
    insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of ours
    count = 0
    for rows in _batches(source, table, columns):
        target.executemany(insert, [_storable_row(row) for row in rows])
        count += len(rows)
    return count


def _storable_row(row: Sequence[Any]) -> list[Any]:
    return [storable(value) if isinstance(value, str) else value for value in row]


def _batches(source: Session, table: str, columns: Columns) -> Iterator[list[tuple[Any, ...]]]:
    """All rows in the order of their key; a cursor over all would be held in memory."""
    names, key = ", ".join(columns.names), ", ".join(columns.key)
    marks = ", ".join("?" * len(columns.key))
    places = [columns.names.index(name) for name in columns.key]
    query = f"SELECT {names} FROM {table} {{}} ORDER BY {key} LIMIT {BATCH}"  # noqa: S608 - names of ours
    rows = source.execute(query.format("")).fetchall()
    while rows:
        yield rows
        after = [rows[-1][place] for place in places]
        rows = source.execute(query.format(f"WHERE ({key}) > ({marks})"), after).fetchall()
