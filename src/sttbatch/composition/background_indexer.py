"""BackgroundIndexer: indexes the transcripts of a run for search."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, data_folder
from sttbatch.core.errors import StateError
from sttbatch.core.models import Transcript
from sttbatch.database.database import Database
from sttbatch.database.opening import SEARCH, open_search

WAITING_CHARACTERS = 1_000_000
"""Of transcripts and their words in memory that wait to be indexed, some eight hours; one that has
more waits alone."""

GATHER_S = 1.0
"""How long transcripts are gathered to be indexed together: of small recordings, a transaction for
each would take as long as its words."""


class BackgroundIndexer:
    """Indexes what a run stores, some transcripts at a time.

    What it does not get to, or cannot index, `sttbatch search` adds.
    """

    def __init__(self, settings: Settings, database: Database, warn: Callable[[str], None]) -> None:
        self._settings = settings
        self._stores = LedgerStores(settings, database)
        self._warn = warn
        self._has_warned = False
        self._waiting: list[tuple[str, Transcript]] = []
        self._waiting_characters = 0
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def create(self) -> None:
        """Create the index if it is missing, while there is memory for what only that imports."""
        folder = data_folder(self._settings)
        if self._settings.database_url is None and not (folder / SEARCH).exists():
            self._task = asyncio.create_task(self._create(folder))

    def add(self, key: str, transcript: Transcript) -> None:
        """Have the transcript of a cache entry indexed, unless others wait for that already."""
        characters = transcript.characters
        if self._waiting and self._waiting_characters + characters > WAITING_CHARACTERS:
            return
        self._waiting_characters += characters
        self._waiting.append((key, transcript))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def aclose(self) -> None:
        """Return when everything is indexed."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _create(self, folder: Path) -> None:
        with contextlib.suppress(StateError):
            index = await asyncio.to_thread(open_search, folder, None)
            index.database.close()
        if self._waiting:
            await self._run()

    async def _run(self) -> None:
        # A run that stores nothing imports nothing for it.
        from sttbatch.composition.searching import indexer_of, transcript_source

        folder, url = data_folder(self._settings), self._settings.database_url
        try:
            # Not kept open: a run has as few connections as possible.
            index = await asyncio.to_thread(open_search, folder, url)
            with contextlib.closing(index.database):
                source = transcript_source(self._settings, self._stores.database)
                indexer = indexer_of(self._stores, index)
                while self._waiting:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._closing.wait(), GATHER_S)
                    transcripts = dict(self._waiting)
                    self._waiting.clear()
                    self._waiting_characters = 0
                    found = await source.stored_as([*transcripts])
                    await indexer.add([(stored, transcripts[stored.key]) for stored in found])
        except StateError as error:
            self._waiting.clear()
            self._waiting_characters = 0
            if not self._has_warned:
                self._has_warned = True
                self._warn(f"{error}. `sttbatch search` indexes what is missing")
