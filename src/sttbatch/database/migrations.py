"""Migrations of SQLite files by numbered steps."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from sttbatch.core.errors import StateError

if TYPE_CHECKING:
    from sqlite_utils import Database as SqliteUtilsDatabase

Steps: TypeAlias = Mapping[str, tuple[str, ...]]
"""Statements by the step's name, in order; a released step never changes."""

RECORD = "_sqlite_migrations"
"""The table in which sqlite-utils records applied steps."""

# As sqlite-utils creates it.
_RECORD = (
    f'''CREATE TABLE "{RECORD}" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)''',
    f'''CREATE UNIQUE INDEX "idx_{RECORD}_migration_set_name"
    ON "{RECORD}" ("migration_set", "name")''',
)

_CREATE = re.compile(r"CREATE (?:TABLE|INDEX|UNIQUE INDEX|TRIGGER) (?:IF NOT EXISTS )?(\w+)")


class History(Struct, frozen=True):
    """The steps of one kind of file.

    `name` identifies them in the file's record of applied steps; `title` is for messages.
    """

    name: str
    title: str
    steps: Steps

    @property
    def tables(self) -> list[str]:
        """The names of all tables, each after those that it refers to."""
        return [name for name, text in self.objects.items() if text.startswith("CREATE TABLE")]

    @property
    def objects(self) -> dict[str, str]:
        """What creates each table, index and trigger, by name."""
        objects: dict[str, str] = {}
        for text in (text for statements in self.steps.values() for text in statements):
            if created := _CREATE.match(text):
                objects[created[1]] = text
            elif dropped := re.match(r"DROP \w+ (\w+)", text):
                del objects[dropped[1]]
        return objects

    def definition(self, name: str) -> list[str]:
        """What creates a table, index or trigger, and changes it later."""
        texts = [text for statements in self.steps.values() for text in statements]
        begin = texts.index(self.objects[name])
        changes = (text for text in texts[begin:] if text.startswith(f"ALTER TABLE {name} "))
        return [texts[begin], *changes]

    def missing(
        self,
        applied: AbstractSet[str],
        title: str,
        elsewhere: str = "STTBATCH_DATA_DIR to another folder",
    ) -> list[str]:
        """The steps that are not among `applied`, in order.

        Raises StateError if a newer sttbatch wrote the database, which is called `title`;
        `elsewhere` is what to set for another one.
        """
        unknown = applied - self.steps.keys()
        if unknown:
            raise StateError(
                f"{title} was written by a newer sttbatch (it knows {max(unknown)}); "
                f"upgrade sttbatch, or set {elsewhere}"
            )
        return [step for step in self.steps if step not in applied]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Apply the missing steps: to a new file at once, to an older one each by itself.

        A step and its record are in one transaction. The caller holds a lock, as two processes must
        not migrate a file at the same time. Raises StateError if a newer sttbatch wrote the file.
        """
        applied = self._applied(connection)
        if not self.missing(applied, self.title):
            return
        if not applied and _is_empty(connection):
            self._create(connection)
            return
        # Importing sqlite-utils takes ten times as long as creating a file.
        from sqlite_utils import Database as SqliteUtilsDatabase
        from sqlite_utils.migrations import Migrations

        registry = Migrations(self.name)
        for name, statements in self.steps.items():
            registry(name=name)(_step(statements))
        registry.apply(SqliteUtilsDatabase(connection))

    def _create(self, connection: sqlite3.Connection) -> None:
        """Apply all steps to an empty file in one transaction, with sqlite-utils' record of each.

        One transaction, as each would wait for the disk three times.
        """
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in (*_RECORD, *(each for step in self.steps.values() for each in step)):
                connection.execute(statement)
            at = str(datetime.now(UTC))
            connection.executemany(
                f"INSERT INTO {RECORD} (migration_set, name, applied_at) "  # noqa: S608
                "VALUES (?, ?, ?)",
                [(self.name, step, at) for step in self.steps],
            )

    def _applied(self, connection: sqlite3.Connection) -> set[str]:
        try:
            rows = connection.execute(
                f"SELECT name FROM {RECORD} WHERE migration_set = ?",  # noqa: S608
                (self.name,),
            )
            return {str(name) for (name,) in rows}
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return set()
            raise


def _is_empty(connection: sqlite3.Connection) -> bool:
    (count,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    return not count


def _step(statements: tuple[str, ...]) -> Callable[[SqliteUtilsDatabase], None]:
    def apply(db: SqliteUtilsDatabase) -> None:
        for statement in statements:
            db.execute(statement)

    apply.__name__ = "step"
    return apply
