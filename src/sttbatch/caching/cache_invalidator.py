"""CacheInvalidator: what is to be asked anew, or forgotten altogether."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching import erasure
from sttbatch.caching.file_index import FileIndex
from sttbatch.caching.levels import CacheLevel
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.errors import RecordingError, StateError
from sttbatch.database.database import Database


@dataclass(slots=True)
class Invalidated:
    """What was removed.

    Attributes:
        entries: by the name of the level.
        rows: by table, of what the ledger knew beside entries.
        recordings: contents that were forgotten.
        in_progress: jobs over them that some run had in hand; what it still finishes is stored.
    """

    entries: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    recordings: int = 0
    in_progress: int = 0


class CacheInvalidator:
    """Removes from far to near: were it interrupted, no near level could bring back the rest.

    Every method raises `StateError` where a level cannot be emptied; what the others held is
    removed all the same.
    """

    def __init__(self, cache: MultiLevelCache, database: Database, index: FileIndex) -> None:
        self._cache = cache
        self._database = database
        self._index = index

    async def key(self, key: str) -> Invalidated:
        return await self._each(lambda level: level.delete((key,)))

    async def pattern(self, pattern: str) -> Invalidated:
        """Keys that match: `*`, `?` and `[a-z]` as in a shell."""
        return await self._each(lambda level: level.delete_matching(pattern))

    async def model(self, model: str) -> Invalidated:
        """Everything that `model` answered."""
        keys = await self._cache.authority.delete_model(model)
        done = await self._each(lambda level: level.delete(keys))
        done.entries[self._cache.authority.name] += len(keys)
        return done

    async def expired(self) -> Invalidated:
        return await self._each(lambda level: level.delete_expired())

    async def all(self) -> Invalidated:
        """Every entry, and with them where recordings were cut."""
        done = await self._each(lambda level: level.clear())
        await self._scrub()
        return done

    async def file(self, path: Path) -> Invalidated:
        """Forget a recording: entries, cuts, jobs, outputs and what the file index knows of it.

        Rows in `requests` stay, since money is counted from them, without what ties them to it.
        The recording itself and the transcripts beside it are the user's and stay.

        Raises:
            RecordingError: the file is there and cannot be read.
        """
        contents = await self._contents(path)
        found = await self._database.read(lambda db: erasure.find(db, contents, path))
        done = await self._each(lambda level: level.delete(found.keys))
        # `secure_delete` is on since the ledger's entries were removed.
        done.rows = await self._database.write(lambda db: erasure.remove(db, found))
        done.recordings, done.in_progress = len(contents), found.in_progress
        await self._scrub()
        return done

    async def _contents(self, path: Path) -> tuple[str, ...]:
        """What lies there now, and what lay there when it was read last."""
        contents = {await self._index.remembered(each) for each in erasure.spellings(path)}
        if await asyncio.to_thread(path.is_file):
            whole = erasure.spellings(path)[0]
            try:
                contents.add((await self._index.fingerprint(whole)).sha256)
            except RecordingError:
                # What never could be read has left nothing but its failures.
                if not await self._database.read(lambda db: erasure.failed_unread(db, path)):
                    raise
        return tuple(sorted(each for each in contents if each is not None))

    async def _each(self, work: Callable[[CacheLevel], Awaitable[int]]) -> Invalidated:
        done = Invalidated()
        failures: list[StateError] = []
        for level in reversed(self._cache.levels):
            try:
                done.entries[level.name] = await work(level)
            except StateError as error:
                failures.append(error)
                # A front holds nothing of its own: rather all of it than a part that was to go.
                if level is not self._cache.authority:
                    done.entries[level.name] = await level.clear()
        if self._cache.authority.name not in done.entries:
            raise failures[0]
        return done

    async def _scrub(self) -> None:
        for level in reversed(self._cache.levels):
            try:
                await level.scrub()
            except StateError:
                if level is self._cache.authority:
                    raise
                await level.clear()
