"""FetchedObjects: the recordings of buckets that are on this machine's disk for a while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import Struct

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.core.errors import MediaError, RecordingError
from sttbatch.core.file_records import FileRecord
from sttbatch.core.locations import ObjectUrl
from sttbatch.core.ports.objects import ObjectFacts, Objects

MOST_FILES = 3
"""Recordings on the disk at the same time: two that are cut, and one ahead."""


class FetchedFile(Struct, frozen=True):
    """A file with the content of an object."""

    path: Path
    sha256: str


@dataclass(slots=True, eq=False)
class _OnDisk:
    file: FetchedFile
    users: int = 0
    is_forgotten: bool = False


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class FetchedObjects:
    """Fetches objects into the folder of a run, `MOST_FILES` at the same time.

    A file that nobody uses remains until `forget`, or until another recording needs the place.
    """

    objects: Objects
    folder: Path
    _files: dict[ObjectFacts, _OnDisk] = field(default_factory=dict, init=False)
    _places: asyncio.Semaphore = field(init=False)
    _fetching: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(MOST_FILES)

    async def facts(self, url: ObjectUrl) -> ObjectFacts:
        """An object's facts; raises RecordingError if there is none."""
        facts = await asyncio.to_thread(lambda: self.objects().facts(url))
        if facts is None:
            raise RecordingError("there is no such object")
        return facts

    async def fingerprint(
        self, index: Fingerprinter, facts: ObjectFacts, stopping: Callable[[], bool] = _never
    ) -> FileRecord:
        """The record of an object, which is fetched unless it is unchanged."""
        known = index.record(os.fsencode(facts.url), facts)
        if known is not None:
            return known
        async with self.held(facts, stopping) as file:
            return await index.remember_object(facts.url, facts, file.sha256)

    @contextlib.asynccontextmanager
    async def held(
        self, facts: ObjectFacts, stopping: Callable[[], bool] = _never
    ) -> AsyncIterator[FetchedFile]:
        """An object's file, for a `with`, as soon as there is a place for it.

        Raises RecordingError if it cannot be fetched, and Stopped as `ObjectStore.fetch` does.
        """
        async with self._places, self.held_at_once(facts, stopping) as file:
            yield file

    @contextlib.asynccontextmanager
    async def held_at_once(
        self, facts: ObjectFacts, stopping: Callable[[], bool] = _never
    ) -> AsyncIterator[FetchedFile]:
        """As `held`, for those on whom what holds the places may wait."""
        on_disk = self._files.get(facts) or await self._fetched(facts, stopping)
        on_disk.users += 1
        try:
            yield on_disk.file
        finally:
            on_disk.users -= 1
            if on_disk.is_forgotten:
                self.forget(facts)

    def forget(self, facts: ObjectFacts) -> None:
        """Remove an object's file, as soon as nobody uses it."""
        on_disk = self._files.get(facts)
        if on_disk is None:
            return
        on_disk.is_forgotten = True
        if not on_disk.users:
            del self._files[facts]
            on_disk.file.path.unlink(missing_ok=True)

    async def _fetched(self, facts: ObjectFacts, stopping: Callable[[], bool]) -> _OnDisk:
        unused = [each for each, on_disk in self._files.items() if not on_disk.users]
        for each in unused[: max(0, len(self._files) + self._fetching + 1 - MOST_FILES)]:
            self.forget(each)
        path = self.folder / f"object-{uuid.uuid4().hex}"
        cancelled = False
        # The thread does not end with a task that is cancelled; it would go on fetching.
        fetching = asyncio.to_thread(
            lambda: self.objects().fetch(facts, path, lambda: cancelled or stopping())
        )
        self._fetching += 1
        try:
            sha256 = await fetching
        except BaseException:
            cancelled = True
            path.unlink(missing_ok=True)
            raise
        finally:
            self._fetching -= 1
        if facts in self._files:
            # Another has fetched it meanwhile.
            path.unlink(missing_ok=True)
        return self._files.setdefault(facts, _OnDisk(FetchedFile(path, sha256)))


def check_content(file: FetchedFile, sha256: str) -> None:
    """Raise MediaError if a file that was fetched again has other content."""
    if file.sha256 != sha256:
        raise MediaError("it changed since it was examined; run again")
