"""What a store tells about its tables and its plans."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class Columns(NamedTuple):
    """The names of all columns of a table, and of those of its primary key, in their order."""

    names: tuple[str, ...]
    key: tuple[str, ...]


class Scan(Struct, frozen=True):
    """How a statement finds rows of a table.

    Attributes:
        index: None: the table itself.
        is_whole: all of its rows are read.
        is_covering: the index holds every column that is wanted.
    """

    table: str
    index: str | None = None
    is_whole: bool = False
    is_covering: bool = False
