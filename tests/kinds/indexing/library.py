"""Transcripts in a ledger of any kind, and searches in them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sttbatch.caching.result_cache import encode_transcript
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.file_records import FileRecord
from sttbatch.core.models import Segment, Transcript, Word
from sttbatch.database.database import Database
from sttbatch.database.files import SqlFileIndex
from sttbatch.database.outputs import SqlOutputStore
from sttbatch.database.results import SqlResultStore
from sttbatch.database.search_index import SqlSearchIndex
from sttbatch.database.search_source import SqlTranscriptSource
from sttbatch.kinds.indexing.indexer import Indexer
from sttbatch.kinds.indexing.query import parsed
from sttbatch.kinds.indexing.searching import Hit, Search, SearchOptions
from tests.database.backends import Backend

T = TypeVar("T")
EVERYWHERE = SearchOptions()


def sha256_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def sentences(text: str, seconds: float = 5.0) -> tuple[Segment, ...]:
    """A segment for each line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return tuple(
        Segment(line, number * seconds, (number + 1) * seconds) for number, line in enumerate(lines)
    )


def with_words(segment: Segment) -> Segment:
    """A segment whose words are spoken at even distances."""
    texts = segment.text.split()
    step = (segment.end_s - segment.start_s) / len(texts)
    at = [segment.start_s + step * number for number in range(len(texts))]
    words = tuple(Word(text, start, start + step) for text, start in zip(texts, at, strict=True))
    return Segment(segment.text, segment.start_s, segment.end_s, words, segment.speaker)


@dataclass
class Library:
    """A ledger with transcripts, and its index."""

    database: Database
    index: SqlSearchIndex

    def __post_init__(self) -> None:
        self.results = SqlResultStore(self.database)
        self.files = SqlFileIndex(self.database)
        self.outputs = SqlOutputStore(self.database)
        self.source = SqlTranscriptSource(self.database)
        self.indexer = Indexer(self.index, self.results, self.source)

    async def add(
        self,
        name: str,
        segments: Sequence[Segment],
        language: str | None = "ru",
        *,
        settings: str = "",
        stream: int = 0,
        path: Path | None = None,
    ) -> str:
        """Store a transcript of a recording at `path`, or /`name`; returns its key."""
        key, sha256 = f"transcript:{sha256_of(name + settings)}", sha256_of(name)
        transcript = Transcript(100.0, language, tuple(segments), ())
        if stream:
            transcript = Transcript(100.0, language, tuple(segments), (), stream=stream)
        await self.results.put(key, CacheValue(encode_transcript(transcript)), "whisper", sha256)
        record = FileRecord(1, 1, 1, 1, 1, sha256)
        await self.files.remember({str(path or f"/{name}").encode(): record})
        return key

    async def hits(self, query: str, options: SearchOptions = EVERYWHERE) -> list[Hit]:
        search = Search(self.index, self.source, parsed(query), options)
        return [hit async for hit in search.hits()]

    async def found(self, query: str, options: SearchOptions = EVERYWHERE) -> list[str]:
        """Name and second of each hit, such as `talk.mp3 5`."""
        return [
            f"{(hit.path or b'?').decode().rpartition('/')[2]} {hit.second:g}"
            for hit in await self.hits(query, options)
        ]


Clock = Callable[[], float]


@contextlib.contextmanager
def opened(backend: Backend, folder: Path, clock: Clock = time.time) -> Iterator[Library]:
    index = backend.open_search(folder)
    with (
        contextlib.closing(index.database),
        contextlib.closing(backend.open_ledger(folder, clock)) as database,
    ):
        yield Library(database, index)


def with_library(
    backend: Backend,
    folder: Path,
    test: Callable[[Library], Awaitable[T]],
    clock: Clock = time.time,
) -> T:
    async def run() -> T:
        with opened(backend, folder, clock) as library:
            return await test(library)

    return asyncio.run(run())
