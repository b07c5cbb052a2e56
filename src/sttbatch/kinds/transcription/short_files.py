"""ShortFiles: what is found out about many short files together, before each is looked at.

For each by itself, handing it to another thread, a media worker and the ledger would take longer
than what is done there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from itertools import zip_longest
from pathlib import Path

from msgspec import Struct, field

from sttbatch.caching.fingerprints import Fingerprinter
from sttbatch.caching.result_cache import ResultCache
from sttbatch.core.errors import MediaError
from sttbatch.core.file_records import FileRecord
from sttbatch.core.locations import Location
from sttbatch.core.models import AudioFile
from sttbatch.processing.discovery import Candidate
from sttbatch.processing.media.media_workers import MediaWorkers

SHORT_BYTES = 1 << 20
EXAMINED_TOGETHER = 128
"""Short files among so many candidates."""

PROBED_TOGETHER = 16


class ExaminedFiles(Struct):
    """What is known of some short files; the others are looked at one by one.

    Attributes:
        records: of those that were hashed, by absolute path.
        probed: headers, or why they cannot be read, by absolute path.
        missing: transcript keys that no level of the cache has.
    """

    records: dict[Location, FileRecord] = field(default_factory=dict)
    probed: dict[Location, AudioFile | MediaError] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


class ShortFiles(Struct, frozen=True):
    """Hashes, probes and looks up short files of unknown content that should be recordings.

    `results` are None where stored ones do not count.
    """

    index: Fingerprinter
    media: MediaWorkers
    results: ResultCache | None
    stopping: Callable[[], bool]

    async def examined(
        self,
        candidates: Sequence[Candidate],
        stream: int | None,
        transcript_key: Callable[[str], str],
    ) -> AsyncGenerator[tuple[Candidate, ExaminedFiles]]:
        """All candidates in order, and what is known of those that are short files.

        Further ones are examined meanwhile. `stream` is as in `MediaWorkers.probe`;
        `transcript_key` has a content's likely key.
        """
        batches = [
            candidates[at : at + EXAMINED_TOGETHER]
            for at in range(0, len(candidates), EXAMINED_TOGETHER)
        ]
        ahead: asyncio.Task[ExaminedFiles] | None = None
        try:
            for batch, following in zip_longest(batches, batches[1:]):
                found = await (ahead or self._examine(batch, stream, transcript_key))
                ahead = None
                if following is not None:
                    ahead = asyncio.create_task(self._examine(following, stream, transcript_key))
                for candidate in batch:
                    yield candidate, found
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.wait([ahead])

    async def _examine(
        self,
        candidates: Sequence[Candidate],
        stream: int | None,
        transcript_key: Callable[[str], str],
    ) -> ExaminedFiles:
        paths = [
            path.absolute()
            for candidate in candidates
            if isinstance(path := candidate.path, Path)
            and candidate.expected
            and candidate.status.st_size <= SHORT_BYTES
            and self.index.unchanged(os.fsencode(path.absolute()), candidate.status) is None
        ]
        if not paths:
            return ExaminedFiles()
        probed, records = await asyncio.gather(
            self._probed(paths, stream), self.index.read_short(paths, self.stopping)
        )
        keys = list({transcript_key(each.sha256) for each in records.values()})
        missing = await self.results.missing(keys) if self.results is not None else set()
        return ExaminedFiles(records, probed, missing)

    async def _probed(
        self, paths: Sequence[Path], stream: int | None
    ) -> dict[Location, AudioFile | MediaError]:
        groups = [paths[at : at + PROBED_TOGETHER] for at in range(0, len(paths), PROBED_TOGETHER)]
        probed: dict[Location, AudioFile | MediaError] = {}

        async def probe(group: Sequence[Path]) -> None:
            if self.stopping():
                return
            try:
                probed.update(zip(group, await self.media.probe_all(group, stream), strict=True))
            except MediaError:
                # One of them ended the worker; which one is found by probing each alone.
                return

        await asyncio.gather(*map(probe, groups))
        return probed
