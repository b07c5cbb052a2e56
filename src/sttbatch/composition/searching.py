"""The search index: opened, brought up to date, and searched."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path

from sttbatch.composition.settings import Settings
from sttbatch.composition.stores import LedgerStores, data_folder, opened_stores
from sttbatch.core.errors import StateError
from sttbatch.core.locations import location
from sttbatch.core.ports import SearchIndex
from sttbatch.database.database import Database
from sttbatch.database.opening import open_search, remove_search
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.database.search_source import SqlTranscriptSource
from sttbatch.kinds.indexing.indexer import Indexer, Progress
from sttbatch.kinds.indexing.query import Query
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions


@contextlib.contextmanager
def opened_index(settings: Settings) -> Iterator[SqlSearchIndex]:
    """The search index, which is made if it is missing; raises StateError if it is damaged."""
    index = open_search(data_folder(settings), settings.database_url)
    with contextlib.closing(index.database):
        yield index


def transcript_source(settings: Settings, database: Database) -> SqlTranscriptSource:
    return SqlTranscriptSource(database, settings.cache_max_age)


def indexer_of(stores: LedgerStores, index: SearchIndex) -> Indexer:
    return Indexer(index, stores.results, transcript_source(stores.settings, stores.database))


async def search(
    settings: Settings,
    query: Query,
    options: SearchOptions,
    progress: Progress = lambda done, total: None,
) -> AsyncGenerator[Hit, None]:
    """The hits of a query, after what is missing in the index was added."""
    with opened_stores(settings) as stores, opened_index(settings) as index:
        await indexer_of(stores, index).update(progress)
        source = transcript_source(settings, stores.database)
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


def spellings_of(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Every spelling of `paths` that the ledger may have."""
    from sttbatch.caching.cache_invalidator import spellings

    found: list[bytes] = []
    for text in paths:
        path = location(text)
        found += [os.fsencode(each) for each in spellings(path)]
        if isinstance(path, Path):
            found.append(os.fsencode(path.resolve()))
    return tuple(dict.fromkeys(found))
