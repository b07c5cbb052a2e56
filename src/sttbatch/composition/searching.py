"""The search index: opened, brought up to date, and searched."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

from msgspec.structs import replace

from sttbatch.composition.object_storage import objects_of
from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, data_folder, opened_stores
from sttbatch.core.errors import StateError, UsageError
from sttbatch.core.locations import location
from sttbatch.core.ports import SearchIndex, TranscriptSource
from sttbatch.database.database import Database
from sttbatch.database.opening import open_search, remove_search
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.database.search_source import SqlTranscriptSource
from sttbatch.kinds.indexing.indexer import Indexer, Progress
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions, is_below


@contextlib.contextmanager
def opened_index(settings: Settings) -> Iterator[SqlSearchIndex]:
    """The search index, which is made if it is missing; raises StateError if it is damaged."""
    index = open_search(data_folder(settings), settings.database_url)
    with contextlib.closing(index.database):
        yield index


def transcript_source(settings: Settings, database: Database) -> SqlTranscriptSource:
    return SqlTranscriptSource(database, settings.cache_max_age)


def indexer_of(stores: LedgerStores, index: SearchIndex) -> Indexer:
    settings = stores.settings
    source = transcript_source(settings, stores.database)
    return Indexer(index, stores.results, source, objects_of(settings))


async def search(
    settings: Settings,
    query: Query,
    options: SearchOptions,
    progress: Progress = lambda done, total: None,
    paths: Sequence[str] = (),
) -> AsyncGenerator[Hit, None]:
    """The hits of a query, after what is missing in the index was added.

    Where `paths` are given, in recordings that they name or have below them. Raises UsageError for
    one that is neither on the disk nor known to the ledger.
    """
    with opened_stores(settings) as stores, opened_index(settings) as index:
        source = transcript_source(settings, stores.database)
        if paths:
            options = replace(options, below=await spellings_of(paths, source))
        await indexer_of(stores, index).update(progress)
        async for hit in Search(index, source, query, options).hits():
            yield hit


async def update_index(
    settings: Settings, progress: Progress, *, rebuild: bool = False
) -> tuple[int, int]:
    """Bring the index up to date, or make it anew; returns its transcripts and its bytes."""
    if rebuild:
        await _clear(settings)
    with opened_stores(settings) as stores, opened_index(settings) as index:
        await indexer_of(stores, index).update(progress)
        return len(await index.transcripts()), await index.size_bytes()


async def forget_removed(stores: LedgerStores) -> None:
    """Erase from the index, if there is one, what was removed from the ledger."""
    settings = stores.settings
    if settings.database_url is None and not _file(settings).exists():
        return
    try:
        with opened_index(settings) as index:
            await indexer_of(stores, index).prune()
            # Another process may have removed it, and erased nothing.
            await index.scrub()
    except StateError:
        if settings.database_url is not None:
            raise
        # What is damaged is made again; what was to be erased must not stay in it.
        remove_search(data_folder(settings))


async def _clear(settings: Settings) -> None:
    try:
        with opened_index(settings) as index:
            await index.clear()
            await index.scrub()
    except StateError:
        if settings.database_url is not None:
            raise
        remove_search(data_folder(settings))


def _file(settings: Settings) -> Path:
    from sttbatch.database.opening import SEARCH

    return data_folder(settings) / SEARCH


async def spellings_of(paths: Sequence[str], source: TranscriptSource) -> tuple[bytes, ...]:
    """Every spelling of `paths` that the ledger may have."""
    found: list[bytes] = []
    for text in paths:
        spelled, is_there = await asyncio.to_thread(_spelled, text)
        if not is_there:
            known = await source.contents()
            if not any(is_below(each, folder) for each, _ in known for folder in spelled):
                raise UsageError(
                    f"{text}: it does not exist, and nothing of it is transcribed; check the path"
                )
        found += spelled
    return tuple(dict.fromkeys(found))


def _spelled(text: str) -> tuple[list[bytes], bool]:
    """The spellings of a path, and whether it is on the disk."""
    from sttbatch.caching.cache_invalidator import spellings

    path = location(text)
    found = [os.fsencode(each) for each in spellings(path)]
    if not isinstance(path, Path):
        return found, False
    return [*found, os.fsencode(path.resolve())], os.path.lexists(path)
