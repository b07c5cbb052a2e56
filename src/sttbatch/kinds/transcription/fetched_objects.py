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


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class FetchedObjects:
    """Fetches objects into the folder of a run, `MOST_FILES` at the same time.

    What was examined remains for its cut, until another recording needs the place.
    """

    objects: Objects
    folder: Path
    _idle: dict[ObjectFacts, FetchedFile] = field(default_factory=dict, init=False)
    _places: asyncio.Semaphore = field(init=False)
    _held: int = field(default=0, init=False)

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
        self,
        facts: ObjectFacts,
        stopping: Callable[[], bool] = _never,
        *,
        last: bool = False,
    ) -> AsyncIterator[FetchedFile]:
        """An object's file, for a `with`; after the `last` use it is removed.

        Raises RecordingError if it cannot be fetched, and Stopped as `ObjectStore.fetch` does.
        """
        async with self._places, self._one_more(facts, stopping, last=last) as file:
            yield file

    @contextlib.asynccontextmanager
    async def held_at_once(self, facts: ObjectFacts) -> AsyncIterator[FetchedFile]:
        """As `held`, for those on whom what holds the other places may wait."""
        async with self._one_more(facts, _never, last=True) as file:
            yield file

    @contextlib.asynccontextmanager
    async def _one_more(
        self, facts: ObjectFacts, stopping: Callable[[], bool], *, last: bool
    ) -> AsyncIterator[FetchedFile]:
        self._held += 1
        file = self._idle.pop(facts, None)
        try:
            while self._idle and self._held + len(self._idle) > MOST_FILES:
                self._idle.pop(next(iter(self._idle))).path.unlink(missing_ok=True)
            if file is None:
                file = await self._fetched(facts, stopping)
            yield file
        finally:
            self._held -= 1
            if file is not None:
                if last or facts in self._idle:
                    file.path.unlink(missing_ok=True)
                else:
                    self._idle[facts] = file

    async def _fetched(self, facts: ObjectFacts, stopping: Callable[[], bool]) -> FetchedFile:
        path = self.folder / f"object-{uuid.uuid4().hex}"
        cancelled = False
        # The thread does not end with a task that is cancelled; it would go on fetching.
        fetching = asyncio.to_thread(
            lambda: self.objects().fetch(facts, path, lambda: cancelled or stopping())
        )
        try:
            return FetchedFile(path, await fetching)
        except BaseException:
            cancelled = True
            path.unlink(missing_ok=True)
            raise


def check_content(file: FetchedFile, sha256: str) -> None:
    """Raise MediaError if a file that was fetched again has other content."""
    if file.sha256 != sha256:
        raise MediaError("it changed since it was examined; run again")
