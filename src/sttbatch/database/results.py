"""Results that were paid for: the tables `cache_entries` and `entry_files`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

from msgspec.structs import asdict

from sttbatch.core.cache_entries import (
    AccessCount,
    CacheValue,
    CheckedEntry,
    LevelUsage,
    checksum,
    expression_of,
)
from sttbatch.core.errors import StateError
from sttbatch.core.file_records import ErasedRecording, RecordingIdentity
from sttbatch.database.database import Database, expand
from sttbatch.database.request_kinds import KEY_PREFIX
from sttbatch.database.speaker_names import ERASE as ERASE_NAMES
from sttbatch.database.store import Session

_T = TypeVar("_T")

FOREVER_S = 1e12
"""30,000 years: no entry expires."""

_CHECKED_AT_A_TIME = 16
_DAMAGED_LIMIT = 1000

_VALID = """
    FROM cache_entries
    WHERE key IN (?*) AND (expires_at IS NULL OR expires_at > (SELECT ledger_now()))
      AND created_at > (SELECT ledger_now()) - ?"""
GET = f"SELECT key, value, sha256, created_at, expires_at {_VALID}"
PRESENT = f"SELECT key {_VALID}"
PUT = """
    INSERT INTO cache_entries (key, value, sha256, model, created_at, expires_at)
    VALUES (:key, :data, :sha256, :model, ledger_now(), :expires_at)
    ON CONFLICT (key) DO UPDATE SET
        value = excluded.value, sha256 = excluded.sha256, model = excluded.model,
        created_at = excluded.created_at, expires_at = excluded.expires_at"""
LINK = """
    INSERT INTO entry_files (file_sha256, key)
    SELECT ?, key FROM cache_entries WHERE key = ?
    ON CONFLICT (file_sha256, key) DO NOTHING"""
COUNT_READS = "UPDATE cache_entries SET access_count = access_count + ? WHERE key = ?"
DELETE = "DELETE FROM cache_entries WHERE key = ?"
DELETE_MATCHING = "DELETE FROM cache_entries WHERE matches(?, key)"
DELETE_EXPIRED = """
    DELETE FROM cache_entries
    WHERE expires_at IS NOT NULL AND expires_at <= (SELECT ledger_now())"""
DELETE_OLD = "DELETE FROM cache_entries WHERE created_at <= (SELECT ledger_now()) - ?"
DELETE_MODEL = "DELETE FROM cache_entries WHERE model = ? RETURNING key"
KEYS_OF_FILES = """
    SELECT key FROM entry_files WHERE file_sha256 IN (?*)
    UNION SELECT chunk_key FROM cuts WHERE file_sha256 IN (?*)"""
MOST_USED = """
    SELECT key, access_count FROM cache_entries WHERE access_count > 0
    ORDER BY access_count DESC LIMIT ?"""
USAGE = """
    SELECT COUNT(*), COALESCE(SUM(LENGTH(value)), 0), MIN(created_at), MAX(created_at)
    FROM cache_entries"""

FORGOTTEN = "forgotten"
"""Replaces a chunk's key in `requests`, as the key is a hash of the recording's audio."""

ENTRIES = "SELECT key FROM entry_files WHERE file_sha256 = ?"
SPANS = "SELECT chunk_key FROM cuts WHERE file_sha256 = ?"
CHUNKS = """
    SELECT chunk_key FROM chunk_tasks WHERE task_id IN (
        SELECT id FROM processing_tasks WHERE job_id IN (
            SELECT id FROM processing_jobs WHERE file_sha256 = ?))"""
PATHS = "SELECT path FROM files WHERE sha256 = ?"
RUNNING_JOBS = """
    SELECT COUNT(*) FROM processing_jobs WHERE file_sha256 = ? AND status = 'PROCESSING'"""

# Requests keep their cost and whether they failed, but neither the chunk's key nor the text of an
# error response.
ANONYMIZE = f"""
    UPDATE requests SET chunk_key = {KEY_PREFIX} || '{FORGOTTEN}',
        error = CASE WHEN status IS NULL OR error IS NULL THEN error ELSE '{FORGOTTEN}' END
    WHERE chunk_key = ?"""  # noqa: S608 - of constants

ERASE_RULES = """DELETE FROM dictionaries WHERE sha256 NOT IN (
    SELECT dictionary FROM outputs WHERE dictionary IS NOT NULL)"""


class SqlResultStore:
    """A `ResultStore` in the ledger.

    Args:
        max_age_s: entries older than this count as missing; None: entries do not expire. It is
            checked by each lookup, so that a changed setting applies to stored entries.
        warn: called once for each damaged value, until it is stored again.
    """

    name = "L3"

    def __init__(
        self,
        database: Database,
        *,
        max_age_s: float | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.database = database
        self._expires = max_age_s is not None
        self.max_age_s = FOREVER_S if max_age_s is None else max_age_s
        self._warn = warn
        # By key and time of storing, as a value that is stored again is another one.
        self._damaged: set[tuple[str, object]] = set()

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        rows = await self.database.batched_rows(GET, keys, self.max_age_s)
        values = {key: self.undamaged(key, *row) for key, *row in rows}
        return {key: value for key, value in values.items() if value is not None}

    async def present(self, keys: Sequence[str]) -> set[str]:
        rows = await self.database.batched_rows(PRESENT, keys, self.max_age_s)
        return {key for (key,) in rows}

    async def put(self, key: str, value: CacheValue, model: str, file_sha256: str) -> None:
        await self.database.write(
            lambda session: self.insert(session, key, value, model, file_sha256)
        )

    async def count_reads(
        self, accesses: Sequence[AccessCount], links: Sequence[tuple[str, str]]
    ) -> None:
        reads = [(access.reads, access.key) for access in accesses]

        def count(session: Session) -> None:
            session.executemany(COUNT_READS, reads)
            session.executemany(LINK, links)

        await self.database.write(count)

    async def delete(self, keys: Sequence[str]) -> int:
        rows = [(key,) for key in keys]
        return await self._securely(lambda session: session.executemany(DELETE, rows).rowcount)

    async def delete_matching(self, pattern: str) -> int:
        return await self._securely(
            lambda session: session.execute(DELETE_MATCHING, (expression_of(pattern),)).rowcount
        )

    async def delete_expired(self) -> int:
        def delete(session: Session) -> int:
            count = session.execute(DELETE_EXPIRED).rowcount
            if self._expires:
                count += session.execute(DELETE_OLD, (self.max_age_s,)).rowcount
            return count

        return await self._securely(delete)

    async def delete_model(self, model: str) -> tuple[str, ...]:
        return await self._securely(
            lambda session: tuple([key for (key,) in session.execute(DELETE_MODEL, (model,))])
        )

    async def erase_recording(self, recording: RecordingIdentity) -> ErasedRecording:
        return await self._securely(partial(erase, recording=recording))

    async def clear(self) -> int:
        def clear(session: Session) -> int:
            session.execute("DELETE FROM cuts")
            return session.execute("DELETE FROM cache_entries").rowcount

        return await self._securely(clear)

    async def scrub(self) -> None:
        await self.database.maintain(lambda store: store.vacuum())

    async def usage(self) -> LevelUsage:
        ((entries, size_bytes, oldest, newest),) = await self.database.rows(USAGE)
        disk_bytes = await self.database.maintain(lambda store: store.size_bytes())
        return LevelUsage(entries, size_bytes, oldest, newest, disk_bytes)

    async def keys_of(self, file_sha256s: Sequence[str]) -> tuple[str, ...]:
        rows = await self.database.batched_rows(KEYS_OF_FILES, file_sha256s)
        return tuple(sorted({key for (key,) in rows}, reverse=True))

    async def most_used(self, limit: int) -> tuple[tuple[str, int], ...]:
        return tuple(await self.database.rows(MOST_USED, (limit,)))

    async def check(self) -> AsyncIterator[CheckedEntry]:
        last = -1
        while True:
            scan = methodcaller("entries_after", last, _CHECKED_AT_A_TIME)
            rows = await self.database.maintain(scan)
            if not rows:
                return
            for row in rows:
                yield _checked(*row)
            last = rows[-1][0]

    async def integrity(self) -> tuple[str, ...]:
        try:
            return await self.database.maintain(lambda store: store.integrity())
        except StateError as error:
            return (str(error),)

    async def drop(self, rows: Sequence[int]) -> None:
        await self.database.maintain(lambda store: store.erase_on_delete())
        await self.database.maintain(lambda store: store.drop_entries(rows))

    async def rebuild(self) -> None:
        await self.database.maintain(lambda store: store.rebuild_indexes())

    async def aclose(self) -> None:
        """Do nothing: the database is closed by its opener."""

    def insert(
        self, session: Session, key: str, value: CacheValue, model: str, file_sha256: str
    ) -> None:
        """As `put`, within the caller's transaction."""
        row = asdict(value) | {"key": key, "sha256": checksum(key, value.data), "model": model}
        session.execute(PUT, row)
        session.execute(LINK, (file_sha256, key))

    def holds(self, session: Session, key: str) -> bool:
        """Whether a lookup of `key` would find a value, within the caller's transaction."""
        rows = session.execute(expand(GET, 1), (key, self.max_age_s))
        return any(_is_sound(*row) for row in rows)

    def undamaged(
        self, key: str, value: Any, sha256: object, created_at: Any, expires_at: Any
    ) -> CacheValue | None:
        """A row's value, or None if it is damaged; it may warn, so call it after a transaction."""
        if _is_sound(key, value, sha256, created_at, expires_at):
            found = CacheValue(value, expires_at)
            return found.at_most(created_at + self.max_age_s) if self._expires else found
        if self._warn is not None and (key, created_at) not in self._damaged:
            # The set is bounded; a warning may then be repeated.
            if len(self._damaged) >= _DAMAGED_LIMIT:
                self._damaged.clear()
            self._damaged.add((key, created_at))
            self._warn(
                "the ledger holds a damaged result, which counts as missing; "
                "`sttbatch cache verify` tells more"
            )
        return None

    async def _securely(self, work: Callable[[Session], _T]) -> _T:
        await self.database.maintain(lambda store: store.erase_on_delete())
        return await self.database.write(work)


def _is_sound(
    key: str, value: object, sha256: object, created_at: object, expires_at: object
) -> bool:
    return (
        isinstance(value, bytes)
        and checksum(key, value) == sha256
        and isinstance(created_at, float)
        and isinstance(expires_at, float | None)
    )


def _checked(row: int, key: bytes | None, data: bytes | None, sha256: object) -> CheckedEntry:
    name = (key or b"").decode("utf-8", "backslashreplace")
    return CheckedEntry(name, row, data is not None and checksum(name, data) == sha256)


def erase(session: Session, recording: RecordingIdentity) -> ErasedRecording:
    """Remove a recording from every table except `requests`, where it becomes anonymous."""
    contents = recording.file_sha256s
    keys: list[str] = _select(session, (ENTRIES, SPANS, CHUNKS), contents)
    # Paths may have been added since the caller looked them up.
    paths = sorted({*recording.paths, *_select(session, (PATHS,), contents)})
    running = sum(session.execute(RUNNING_JOBS, (sha256,)).fetchone()[0] for sha256 in contents)
    session.executemany(ANONYMIZE, [(key,) for key in keys])
    delete, jobs = partial(_delete, session), contents + recording.unreadable
    entries = delete(DELETE, keys)
    rows = {
        "cuts": delete("DELETE FROM cuts WHERE file_sha256 = ?", contents),
        "chunk_tasks": delete("DELETE FROM chunk_tasks WHERE chunk_key = ?", keys),
        "processing_jobs": delete("DELETE FROM processing_jobs WHERE file_sha256 = ?", jobs),
        "outputs": delete("DELETE FROM outputs WHERE source = ?", paths),
        "speaker_names": delete(ERASE_NAMES, contents),
        "files": delete("DELETE FROM files WHERE path = ?", paths)
        + delete("DELETE FROM files WHERE sha256 = ?", contents),
    }
    # Rules may have names, and nobody else needs these.
    session.execute(ERASE_RULES)
    return ErasedRecording(tuple(keys), entries, rows, running)


def _select(session: Session, statements: Sequence[str], values: Sequence[str]) -> list[Any]:
    rows = [
        row
        for statement in statements
        for value in values
        for row in session.execute(statement, (value,))
    ]
    return list(dict.fromkeys(value for (value,) in rows))


def _delete(session: Session, statement: str, values: Sequence[object]) -> int:
    return session.executemany(statement, [(value,) for value in values]).rowcount if values else 0
