"""What statements run in: an open transaction of whichever database keeps the state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Rows(Protocol):
    """What a statement brought: rows, or how many rows it changed."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


class Session(Protocol):
    """An open transaction; `sqlite3.Connection` is one as it is.

    Statements are in words that SQLite (3.40 and newer) and PostgreSQL (15 and newer) both take.
    What has no common spelling is a function that every store defines: `ledger_now()` (seconds
    since the epoch), `local_day(at)` (YYYY-MM-DD) and `matches(pattern, text)` (shell pattern).
    """

    def execute(
        self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ..., /
    ) -> Rows: ...

    def executemany(
        self, statement: str, rows: Iterable[Sequence[Any] | Mapping[str, Any]], /
    ) -> Rows: ...


Work: TypeAlias = Callable[[Session], T]
"""A unit of work: a synchronous function of an open transaction.

It may run more than once until it is committed, so it has no effect outside of the database.
"""


class Store(Protocol):
    """A database as one thread uses it; all methods but `open` come after `open`."""

    @property
    def title(self) -> str:
        """What messages call it."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What its library raises."""

    def open(self) -> None:
        """Connect, and bring the tables to their newest shape.

        Raises:
            StateError: it was written by a newer sttbatch, or cannot be locked.
        """

    def transact(self, work: Work[T]) -> T:
        """Run `work` in a transaction that no other writer overlaps, and commit it."""

    def read(self, work: Work[T]) -> T:
        """Run `work`, which must not write."""

    def close(self) -> None: ...

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        """What is damaged; empty when everything is sound. `quick` looks at less."""

    def rebuild_indexes(self) -> None:
        """Make every index again from its table; tables cannot be made again."""

    def erase_on_delete(self) -> None:
        """Overwrite what is deleted from now on."""

    def vacuum(self) -> None:
        """Leave no byte of deleted rows in the files."""

    def size_bytes(self) -> int:
        """Size of its files."""

    def describe(self) -> str:
        """Kind, version and settings, for `doctor`."""

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        """The cache entries after entry `number`, as they lie on the disk.

        Returns (number, key, value, SHA-256); what is not of its column's type is None. A damaged
        key or index hides none of them.
        """

    def drop_entries(self, numbers: Sequence[int]) -> None:
        """Delete cache entries by their number."""
