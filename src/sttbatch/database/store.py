"""What a database is to this program: a store, its open transactions, and units of work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from sttbatch.database.store_facts import Columns, Scan

T = TypeVar("T")


class Rows(Protocol):
    """The result of a statement: rows, or the number of changed rows."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def close(self) -> None: ...


Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""For the placeholders of a statement, by position or by name."""


class Session(Protocol):
    """An open transaction, such as a `sqlite3.Connection`.

    Statements are valid in SQLite (3.40 and newer) and in PostgreSQL (15 and newer), with functions
    that every store defines: `ledger_now()` (seconds since the epoch), `local_day(at)` (YYYY-MM-DD)
    and `matches(expression, text)` (regular expression, for the whole text).
    """

    def execute(self, statement: str, values: Values = ..., /) -> Rows: ...
    def executemany(self, statement: str, rows: Iterable[Values], /) -> Rows: ...


Work: TypeAlias = Callable[[Session], T]
"""A unit of work: a synchronous function of an open transaction.

It may run several times before it is committed, so it must have no effect outside of the database.
"""


class Store(Protocol):
    """A database for the use of one thread, which calls `open` first."""

    @property
    def title(self) -> str:
        """Its name in messages."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """The exceptions that its library raises."""

    @property
    def advice(self) -> str:
        """What to look at after a fault, as the end of a message."""

    def reason(self, fault: Exception) -> str:
        """What a fault says."""

    def open(self) -> None:
        """Connect and migrate; raises StateError if a newer sttbatch wrote the file."""

    def transact(self, work: Work[T]) -> T:
        """Run `work` in an exclusive write transaction, and commit it."""

    def read(self, work: Work[T]) -> T:
        """Run `work`, which must not write."""

    def close(self) -> None: ...

    def integrity(self, *, quick: bool = False) -> tuple[str, ...]:
        """Damage; empty when everything is sound. `quick` checks less."""

    def rebuild_indexes(self) -> None:
        """Rebuild every index from its table."""

    def erase_on_delete(self) -> None:
        """Overwrite rows that are deleted from now on."""

    def vacuum(self) -> None:
        """Erase what is left of deleted rows in the files."""

    def size_bytes(self) -> int: ...

    def connections(self) -> Mapping[str, int]:
        """Figures of its pool, as psycopg_pool names them, from any thread; empty: it has none."""

    def describe(self) -> str:
        """Kind, version and settings, for `doctor`."""

    def entries_after(
        self, number: int, limit: int
    ) -> list[tuple[int, bytes | None, bytes | None, object]]:
        """(number, key, value, SHA-256) of some cache entries after entry `number`, if any.

        Damaged keys and indexes hide no entry; values of a wrong type are None.
        """

    def drop_entries(self, numbers: Sequence[int]) -> None:
        """Delete cache entries by number."""

    def columns(self, table: str) -> Columns:
        """The columns of a table."""

    def scans(self, statement: str, values: Values = ()) -> list[Scan]:
        """The plan of a statement, which uses an index wherever there is one."""

    def objects(self) -> set[str]:
        """The names of tables, indexes and triggers."""

    def define(self, statement: str) -> None:
        """Execute a statement of a history's step."""

    def analyze(self) -> None:
        """Refresh the statistics of the query planner."""

    def after_copy(self, session: Session) -> None:
        """Have new rows numbered after those that were inserted with their numbers."""
