"""Copies the tables of one store into another, empty one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sttbatch.core.errors import StateError, UsageError
from sttbatch.database.outputs import MOVE_HOST
from sttbatch.database.store import Session, Store
from sttbatch.database.store_facts import Columns
from sttbatch.database.workers import read_workers, storable

BATCH = 100
"""Rows held in memory; a transcript may have a megabyte."""

LEFT_OUT = frozenset({"workers"})
"""Processes work at one ledger."""


def copy_tables(
    source: Store,
    target: Store,
    tables: Sequence[str],
    finish: Callable[[Session], None] = lambda _: None,
) -> dict[str, int]:
    """Copy all rows in one transaction, which `finish` completes; returns their numbers by table.

    Both stores are open, and nobody writes to either meanwhile. Raises UsageError if a process
    works at one of them, and StateError if the target has rows.
    """
    columns = {table: source.columns(table) for table in tables if table not in LEFT_OUT}

    has_workers = bool(LEFT_OUT.intersection(tables))

    def copy(to: Session) -> dict[str, int]:
        def copy_from(session: Session) -> dict[str, int]:
            if has_workers:
                refuse_if_used(session, source.title)
            copied = {
                table: _copy_table(session, to, table, each) for table, each in columns.items()
            }
            finish(to)
            return copied

        if has_workers:
            refuse_if_used(to, target.title)
        for table in columns:
            if to.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608 - a name of ours
                raise StateError(
                    f"{target.title} is not empty: it has rows in {table}; name an empty one"
                )
        # Not only read: whoever begins to work at the source waits until it is copied.
        copied = source.transact(copy_from)
        target.after_copy(to)
        return copied

    return target.transact(copy)


def move_outputs(session: Session, host: str, new_host: str) -> None:
    """Have the outputs of one host belong to another name of it."""
    session.execute(MOVE_HOST, (new_host, host))


def refuse_if_used(session: Session, title: str) -> None:
    """Raise UsageError if a process works at the ledger, which is called `title`."""
    if workers := read_workers(session):
        labels = ", ".join(worker.label for worker in workers)
        raise UsageError(f"{title} is in use by {labels}; stop that first")


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
