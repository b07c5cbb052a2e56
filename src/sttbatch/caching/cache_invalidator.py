"""CacheInvalidator: removes results, or all that is known of a recording."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sttbatch.caching.fingerprints import Fingerprinter, unread_content
from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.cache_entries import CacheLevel
from sttbatch.core.errors import RecordingError, StateError
from sttbatch.core.file_records import RecordingIdentity
from sttbatch.core.ports import FileIndex


@dataclass(slots=True)
class Invalidated:
    """What was removed.

    Attributes:
        entries: by the name of the level.
        rows: by table, of what the ledger knew beside entries.
        recordings: contents that were forgotten.
        running_jobs: jobs that process them; what they still finish is stored.
    """

    entries: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    recordings: int = 0
    running_jobs: int = 0


@dataclass(frozen=True, slots=True)
class CacheInvalidator:
    """Removes from far to near: were it interrupted, no near level could bring back the rest.

    Every method raises `StateError` where a level cannot be emptied; what the others held is
    removed all the same.
    """

    cache: MultiLevelCache
    files: FileIndex
    fingerprinter: Fingerprinter

    async def key(self, key: str) -> Invalidated:
        return await self._in_every_level(lambda level: level.delete((key,)))

    async def pattern(self, pattern: str) -> Invalidated:
        """Remove keys that match: `*`, `?` and `[a-z]` as in a shell."""
        return await self._in_every_level(lambda level: level.delete_matching(pattern))

    async def model(self, model: str) -> Invalidated:
        """Remove everything that `model` answered."""
        keys = await self.cache.authority.delete_model(model)
        removed = await self._in_every_level(lambda level: level.delete(keys))
        removed.entries[self.cache.authority.name] += len(keys)
        return removed

    async def expired(self) -> Invalidated:
        return await self._in_every_level(lambda level: level.delete_expired())

    async def all(self) -> Invalidated:
        """Remove every entry, and with them where recordings were cut."""
        removed = await self._in_every_level(lambda level: level.clear())
        await self._scrub()
        return removed

    async def file(self, path: Path) -> Invalidated:
        """Forget a recording: entries, cuts, jobs, outputs and what the file index knows of it.

        Rows in `requests` stay, since money is counted from them, without what ties them to it.
        The recording itself and the transcripts beside it are the user's and stay.

        Raises:
            RecordingError: the file is there and cannot be read.
        """
        contents = await self._contents(path)
        known = [Path(os.fsdecode(name)) for name in await self.files.paths_of(contents)]
        paths = await asyncio.to_thread(
            lambda: {spelling for each in (path, *known) for spelling in spellings(each)}
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

    async def _contents(self, path: Path) -> tuple[str, ...]:
        """What lies there now, and what lay there when it was read last."""
        known = await asyncio.to_thread(spellings, path)
        contents = {await self.fingerprinter.remembered(spelling) for spelling in known}
        if await asyncio.to_thread(path.is_file):
            try:
                contents.add((await self.fingerprinter.fingerprint(known[0])).sha256)
            except RecordingError:
                # What never could be read has left nothing but its failures.
                if not await self.files.was_unreadable(_unreadable(known)):
                    raise
        return tuple(sorted(sha256 for sha256 in contents if sha256 is not None))

    async def _in_every_level(self, remove: Callable[[CacheLevel], Awaitable[int]]) -> Invalidated:
        removed = Invalidated()
        failures: list[StateError] = []
        for level in reversed(self.cache.levels):
            try:
                removed.entries[level.name] = await remove(level)
            except StateError as error:
                failures.append(error)
                # A front holds nothing of its own: rather all of it than a part that was to go.
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


def spellings(path: Path) -> tuple[Path, ...]:
    """The ways in which the ledger may have written a path down: as given, or resolved."""
    whole = path.absolute()
    plain = Path(os.path.normpath(whole))
    real = Path(os.path.realpath(plain.parent), plain.name)
    return tuple(dict.fromkeys((whole, plain, real)))


def _unreadable(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted({unread_content(path) for path in paths}))
