"""OwnedNames: which recording owns which names of outputs in some folders."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable

from sttbatch.core.file_records import OutputOwner
from sttbatch.core.ports import OutputStore
from sttbatch.outputs.output_names import folded

MAX_AGE_S = 30.0
"""Seconds for which a folder's names are not read again; whoever writes a name is told if it was
taken meanwhile. A worker would read a whole folder for each of its recordings."""


def stems_of(stem: bytes, format_name: str) -> set[bytes]:
    """The stems that an output takes: `talk` and `talk.en` by the `en.srt` of `talk`."""
    ending = format_name.rpartition(".")[0].encode()
    return {stem, stem + b"." + ending} if ending else {stem}


class NameIndex:
    """The owned names of folders.

    Attributes:
        owners: by folded stem and recording, the outputs that take it.
        own: by folder and recording, its stems.
        recordings: folded paths of recordings, which no output may replace.
    """

    def __init__(self) -> None:
        self.folders: set[bytes] = set()
        self.owners: dict[str, dict[bytes, list[OutputOwner]]] = defaultdict(dict)
        self.own: dict[tuple[bytes, bytes], set[bytes]] = defaultdict(set)
        self.recordings: set[str] = set()

    def add(self, owners: Iterable[OutputOwner], folders: set[bytes]) -> None:
        """Add `folders` with those of `owners` that are in them, and not below."""
        self.folders |= folders
        for owner in owners:
            source = owner.source
            folder, slash, name = owner.path[: -len(owner.format) - 1].rpartition(b"/")
            folder += slash
            if folder in folders:
                self.recordings.add(folded(source))
                self.own[folder, source].add(name)
                for stem in stems_of(folder + name, owner.format):
                    self.owners[folded(stem)].setdefault(source, []).append(owner)


class OwnedNames:
    """The names in a store, which the runs of a process share."""

    def __init__(self, store: OutputStore) -> None:
        self._store = store
        self._index = NameIndex()
        self._read_at = 0.0
        self._using = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def index(self, folders: Collection[bytes]) -> AsyncIterator[NameIndex]:
        """The names in `folders`, for one user at a time; raises StateError."""
        async with self._using:
            if time.monotonic() - self._read_at > MAX_AGE_S:
                self.expire()
            if new := set(folders) - self._index.folders:
                owners = await self._store.owners_below(new)
                await asyncio.to_thread(self._index.add, owners, new)
            yield self._index

    def expire(self) -> None:
        """Have names read again, as others have taken some."""
        self._index, self._read_at = NameIndex(), time.monotonic()
