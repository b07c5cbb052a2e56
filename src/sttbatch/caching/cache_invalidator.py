"""CacheInvalidator: removes results, or everything about a recording."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from msgspec import Struct, field

from sttbatch.caching.fingerprints import Fingerprinter, unread_content
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.cache_entries import CacheLevel
from sttbatch.core.errors import CacheUnreachable, RecordingError, StateError
from sttbatch.core.file_records import RecordingIdentity
from sttbatch.core.locations import Location, ObjectUrl, location
from sttbatch.core.ports import FileIndex


class Invalidated(Struct):
    """What was removed.

    Attributes:
        entries: numbers by name of the level.
        rows: numbers of other rows of the ledger, by table.
        recordings: number of recordings (contents) that were forgotten.
        running_jobs: jobs that process them; what they finish later is stored again.
    """

    entries: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    recordings: int = 0
    running_jobs: int = 0


class CacheInvalidator(Struct, frozen=True):
    """Removes entries from every level, the authority first, so that none is restored from it.

    Every method raises `StateError` if the authority cannot be changed; the fronts are changed even
    so. If a front cannot be reached, it raises `CacheUnreachable` and removes nothing: the keys of
    a recording's copies are known by its records only.
    """

    cache: MultiLevelCache
    files: FileIndex
    fingerprinter: Fingerprinter

    async def key(self, key: str) -> Invalidated:
        return await self._in_every_level(lambda level: level.delete((key,)))

    async def pattern(self, pattern: str) -> Invalidated:
        """Remove entries whose keys match a pattern with `*`, `?` and `[a-z]` as in a shell."""
        return await self._in_every_level(lambda level: level.delete_matching(pattern))

    async def model(self, model: str) -> Invalidated:
        """Remove all results of a model."""
        await self._reach_fronts()
        keys = await self.cache.authority.delete_model(model)
        removed = await self._in_every_level(lambda level: level.delete(keys))
        removed.entries[self.cache.authority.name] += len(keys)
        return removed

    async def expired(self) -> Invalidated:
        return await self._in_every_level(lambda level: level.delete_expired())

    async def all(self) -> Invalidated:
        """Remove every entry and the index of chunks."""
        removed = await self._in_every_level(lambda level: level.clear())
        await self._scrub()
        return removed

    async def file(self, path: Location) -> Invalidated:
        """Remove the entries, cuts, jobs, output rows and file index of a recording.

        An object is not fetched: its content is that of its last fetch.

        Requests stay, anonymous, since costs are summed from them, and so do the files of the
        recording and its transcripts. Raises RecordingError if the file cannot be read.
        """
        await self._reach_fronts()
        contents = await self._contents(path)
        copies = [location(os.fsdecode(name)) for name in await self.files.paths_of(contents)]
        paths = await asyncio.to_thread(
            lambda: {spelling for copy in (path, *copies) for spelling in spellings(copy)}
        )
        recording = RecordingIdentity(
            contents, tuple(sorted(map(os.fsencode, paths))), _unreadable(paths)
        )
        erased = await self.cache.authority.erase_recording(recording)
        removed = await self._in_every_level(lambda level: level.delete(erased.keys))
        removed.entries[self.cache.authority.name] += erased.entries
        removed.rows = erased.rows
        removed.recordings, removed.running_jobs = len(contents), erased.running_jobs
        await self._scrub()
        return removed

    async def _contents(self, path: Location) -> tuple[str, ...]:
        """The content hashes of the file as it is now, and when it was last read."""
        known = await asyncio.to_thread(spellings, path)
        contents = {await self.fingerprinter.remembered(spelling) for spelling in known}
        if isinstance(path, Path) and await asyncio.to_thread(path.is_file):
            try:
                contents.add((await self.fingerprinter.fingerprint(path.absolute())).sha256)
            except RecordingError:
                # A recording that could never be read has only failed jobs.
                if not await self.files.was_unreadable(_unreadable(known)):
                    raise
        return tuple(sorted(sha256 for sha256 in contents if sha256 is not None))

    async def _reach_fronts(self) -> None:
        for front in self.cache.levels[:-1]:
            try:
                await front.delete(())
            except CacheUnreachable as error:
                raise CacheUnreachable(
                    f"{error}. Nothing was removed; without redis_url, its copies stay for up to "
                    "24 h"
                ) from error
            except StateError:
                # It will be cleared.
                continue

    async def _in_every_level(self, remove: Callable[[CacheLevel], Awaitable[int]]) -> Invalidated:
        await self._reach_fronts()
        removed = Invalidated()
        failures: list[StateError] = []
        for level in reversed(self.cache.levels):
            try:
                removed.entries[level.name] = await remove(level)
            except StateError as error:
                failures.append(error)
                # Fronts have copies only, so all of it may go when a part cannot be removed.
                if level is not self.cache.authority:
                    removed.entries[level.name] = await level.clear()
        if self.cache.authority.name not in removed.entries:
            raise failures[0]
        return removed

    async def _scrub(self) -> None:
        for level in reversed(self.cache.levels):
            try:
                await level.scrub()
            except StateError:
                if level is self.cache.authority:
                    raise
                await level.clear()


def spellings(path: Location) -> tuple[Location, ...]:
    """The spellings under which the ledger may have stored a path: as given, or resolved."""
    if isinstance(path, ObjectUrl):
        return (path,)
    absolute = path.absolute()
    plain = Path(os.path.normpath(absolute))
    real = Path(os.path.realpath(plain.parent), plain.name)
    return tuple(dict.fromkeys((absolute, plain, real)))


def _unreadable(paths: Iterable[Location]) -> tuple[str, ...]:
    return tuple(sorted({unread_content(path) for path in paths}))
