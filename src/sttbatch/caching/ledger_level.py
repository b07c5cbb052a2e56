"""L3: what was paid for, in the ledger; the authority, sufficient alone."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from sttbatch.caching import entry_rows
from sttbatch.caching.levels import (
    KEYS_A_QUERY,
    Access,
    CacheValue,
    Checked,
    EntryFacts,
    LevelUsage,
    seal,
)
from sttbatch.core.errors import StateError
from sttbatch.core.work import RequestRecord
from sttbatch.database.database import Database
from sttbatch.database.session import Session

_T = TypeVar("_T")


class LedgerLevel:
    """The table `cache_entries`.

    Args:
        max_age_s: entries older than this are not there any more; None: they stay for ever.
            It counts when an entry is looked up, so a changed setting holds for what is stored.
    """

    name = "L3"

    def __init__(
        self,
        database: Database,
        *,
        max_age_s: float | None = None,
        warn: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self._max_age_s = max_age_s
        self._warn = warn
        self._clock = clock

    def opened(
        self, key: str, value: object, sha256: object, created_at: object, expires_at: object
    ) -> CacheValue | None:
        """A row's value, unless it is damaged or too old."""
        if not (
            isinstance(value, bytes)
            and seal(key, value) == sha256
            and isinstance(created_at, float)
            and isinstance(expires_at, float | None)
        ):
            self._warn_of_damage()
            return None
        found = CacheValue(value, expires_at)
        if self._max_age_s is not None:
            found = found.at_most(created_at + self._max_age_s)
        return None if found.is_expired(self._clock()) else found

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        found = {}
        for at in range(0, len(keys), KEYS_A_QUERY):
            part = keys[at : at + KEYS_A_QUERY]
            for key, *row in await self.database.read(partial(entry_rows.select, keys=part)):
                value = self.opened(key, *row)
                if value is not None:
                    found[key] = value
        return found

    async def present(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that are there and not too old; values are not read."""
        now = self._clock()
        oldest = now - self._max_age_s if self._max_age_s is not None else 0.0
        found: set[str] = set()
        for at in range(0, len(keys), KEYS_A_QUERY):
            part = keys[at : at + KEYS_A_QUERY]
            rows = await self.database.read(partial(entry_rows.ages, keys=part))
            found |= {
                key
                for key, created_at, expires_at in rows
                if created_at >= oldest and (expires_at is None or expires_at > now)
            }
        return found

    def holds(self, db: Session, key: str) -> bool:
        """Whether a look-up of `key` would find something; within the caller's transaction."""
        return any(self.opened(*row) is not None for row in entry_rows.select(db, [key]))

    async def put(self, key: str, value: CacheValue, facts: EntryFacts) -> None:
        await self.database.write(lambda db: self._insert(db, key, value, facts))

    def insert(self, db: Session, record: RequestRecord) -> None:
        """Store a paid result, within the caller's transaction."""
        assert record.value is not None
        facts = EntryFacts(record.engine, record.model, record.usage.quantity, record.file_sha256)
        self._insert(db, record.key, CacheValue(record.value), facts)

    def _insert(self, db: Session, key: str, value: CacheValue, facts: EntryFacts) -> None:
        row = (
            key,
            value.data,
            seal(key, value.data),
            facts.engine,
            facts.model,
            facts.audio_s,
            self._clock(),
            value.expires_at,
        )
        db.execute(entry_rows.PUT, row)
        db.execute(entry_rows.LINK, (facts.file_sha256, key))

    async def note(self, accesses: Sequence[Access], links: Sequence[tuple[str, str]]) -> None:
        def write(db: Session) -> None:
            db.executemany(entry_rows.NOTE, [(each.at, each.count, each.key) for each in accesses])
            db.executemany(entry_rows.LINK, links)

        await self.database.write(write)

    async def delete(self, keys: Sequence[str]) -> int:
        rows = [(key,) for key in keys]
        return await self._securely(lambda db: db.executemany(entry_rows.DELETE, rows).rowcount)

    async def delete_matching(self, pattern: str) -> int:
        return await self._securely(
            lambda db: db.execute(entry_rows.DELETE_MATCHING, (pattern,)).rowcount
        )

    async def delete_expired(self) -> int:
        now = self._clock()

        def work(db: Session) -> int:
            count = db.execute(entry_rows.DELETE_EXPIRED, (now,)).rowcount
            if self._max_age_s is not None:
                count += db.execute(entry_rows.DELETE_OLD, (now - self._max_age_s,)).rowcount
            return count

        return await self._securely(work)

    async def delete_model(self, model: str) -> tuple[str, ...]:
        return await self._securely(
            lambda db: tuple(key for (key,) in db.execute(entry_rows.DELETE_MODEL, (model,)))
        )

    async def clear(self) -> int:
        def work(db: Session) -> int:
            db.execute("DELETE FROM cuts")
            return db.execute("DELETE FROM cache_entries").rowcount

        return await self._securely(work)

    async def scrub(self) -> None:
        await self.database.maintain(lambda store: store.vacuum())

    async def usage(self) -> LevelUsage:
        entries, size_bytes, oldest, newest = await self.database.read(
            lambda db: db.execute(entry_rows.USAGE).fetchone()
        )
        disk_bytes = await self.database.maintain(lambda store: store.size_bytes())
        return LevelUsage(entries, size_bytes, oldest, newest, disk_bytes)

    async def keys_of(self, file_sha256s: Sequence[str]) -> tuple[str, ...]:
        keys: list[str] = []
        for at in range(0, len(file_sha256s), KEYS_A_QUERY):
            part = file_sha256s[at : at + KEYS_A_QUERY]
            keys += await self.database.read(partial(entry_rows.linked_to, file_sha256s=part))
        return tuple(sorted(set(keys), reverse=True))

    async def most_used(self, limit: int) -> tuple[tuple[str, int], ...]:
        rows = await self.database.read(
            lambda db: db.execute(entry_rows.MOST_USED, (limit,)).fetchall()
        )
        return tuple((str(key), int(count)) for key, count in rows)

    async def check(self) -> AsyncIterator[Checked]:
        last = -1
        while True:
            rows = await self.database.read(partial(entry_rows.checked_after, last=last))
            for row in rows:
                yield row
            if len(rows) < entry_rows.CHECKED_AT_A_TIME:
                return
            last = rows[-1].row

    async def integrity(self) -> tuple[str, ...]:
        try:
            return await self.database.maintain(lambda store: store.integrity())
        except StateError as error:
            return (str(error),)

    async def drop(self, rows: Sequence[int]) -> None:
        numbers = [(row,) for row in rows]
        await self._securely(
            lambda db: db.executemany("DELETE FROM cache_entries WHERE rowid = ?", numbers)
        )

    async def rebuild(self) -> None:
        await self.database.maintain(lambda store: store.rebuild_indexes())

    async def aclose(self) -> None:
        """The database belongs to whoever opened it."""

    async def _securely(self, work: Callable[[Session], _T]) -> _T:
        await self.database.maintain(lambda store: store.erase_on_delete())
        return await self.database.write(work)

    def _warn_of_damage(self) -> None:
        if self._warn is not None:
            self._warn(
                "the ledger holds a damaged result, which counts as missing; "
                "`sttbatch cache verify` tells more"
            )
            self._warn = None
