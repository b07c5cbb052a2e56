"""Indexer: keeps the index of transcripts as the ledger and edited outputs are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from sttbatch.caching.result_cache import decode_transcript
from sttbatch.core.memory import release_freed_memory
from sttbatch.core.models import Transcript
from sttbatch.core.ports import Objects, ResultStore, SearchIndex, TranscriptSource
from sttbatch.core.search import IndexedTranscript, Passage, StoredTranscript
from sttbatch.kinds.indexing.edits import edited_outputs
from sttbatch.kinds.indexing.passages import OVERLAP_WORDS, PASSAGE_WORDS, passages_of
from sttbatch.kinds.indexing.shown_text import ShownText
from sttbatch.kinds.indexing.words import WORDS_VERSION, Language

INDEX_VERSION = f"1 {PASSAGE_WORDS}+{OVERLAP_WORDS} {WORDS_VERSION}"
"""Transcripts that were indexed by another version are indexed again."""

_MANY_SEGMENTS = 1000
"""Some hours have more."""

_AT_ONCE = 8
"""Transcripts that are read together; each may have a megabyte."""

Progress = Callable[[int, int], None]
"""Is told how many of how many transcripts are indexed."""


class Indexer:
    """Indexes transcripts, one after another; raises StateError if a store cannot be used."""

    def __init__(
        self,
        index: SearchIndex,
        results: ResultStore,
        source: TranscriptSource,
        objects: Objects | None = None,
    ) -> None:
        self._index = index
        self._results = results
        self._source = source
        self._objects = objects
        # Used by one call at a time, in whatever thread.
        self._languages: dict[str | None, Language] = {}

    async def add(self, transcripts: Sequence[tuple[StoredTranscript, Transcript]]) -> None:
        """Index transcripts that have just been stored, and written."""

        def made() -> list[tuple[IndexedTranscript, list[Passage]]]:
            if any(len(transcript.segments) > _MANY_SEGMENTS for _, transcript in transcripts):
                # Their merging and their outputs took megabytes.
                release_freed_memory()
            return [self._made(*each) for each in transcripts]

        await self._index.put(await asyncio.to_thread(made))
        await self._remove_erased([stored for stored, _ in transcripts])

    async def prune(self) -> int:
        """Remove what the ledger no longer has; returns the number of transcripts."""
        kept = {each.key for each in await self._source.stored()}
        known = {each.key for each in (await self._index.transcripts()).values()}
        known.update(await self._index.superseded())
        gone = sorted(known - kept)
        if examined := await self._index.examined():
            paths = {each.path for each in await self._source.outputs(list(examined))}
            if paths != examined.keys():
                await self._index.examine([examined[path] for path in paths])
        return await self._index.remove(gone) if gone else 0

    async def update(self, progress: Progress = lambda done, total: None) -> None:
        """Remove what the ledger no longer has, and index what is missing, changed or edited."""
        await self.prune()
        edits = await edited_outputs(self._source, self._index, self._objects)
        # The newest first, as passages are numbered.
        stored = sorted(await self._source.stored(), key=lambda each: (-each.created_at, each.key))
        newest: dict[str, str] = {}
        for each in stored:
            newest.setdefault(each.file_sha256, each.key)
        names, rules = await self._source.speaker_names(), await self._source.rules()
        shown = {
            each.key: ShownText(
                edits.get(each.file_sha256) if newest[each.file_sha256] == each.key else None,
                rules.get(each.key, ""),
                names.get(each.file_sha256, {}),
            )
            for each in stored
        }
        indexed = {each.key: each for each in (await self._index.transcripts()).values()}
        superseded = await self._index.superseded()
        missing = [
            each
            for each in stored
            if not (
                _is_current(indexed.get(each.key), each, shown[each.key])
                # The index has none of the text of one that is superseded.
                or _is_current(superseded.get(each.key), each, None)
            )
        ]
        for at in range(0, len(missing), _AT_ONCE):
            progress(at, len(missing))
            await self._put(missing[at : at + _AT_ONCE], shown)
        if missing:
            progress(len(missing), len(missing))

    async def _put(
        self, stored: Sequence[StoredTranscript], shown: Mapping[str, ShownText]
    ) -> None:
        values = await self._results.get_many([each.key for each in stored])
        for each in stored:
            # What was removed meanwhile, or is damaged, is not there.
            if each.key not in values:
                continue
            transcript = await asyncio.to_thread(decode_transcript, values[each.key].data)
            if transcript is not None:
                made = await asyncio.to_thread(self._made, each, transcript, shown[each.key])
                await self._index.put([made])
        await self._remove_erased(stored)

    async def _remove_erased(self, indexed: Sequence[StoredTranscript]) -> None:
        """Remove what was erased from the ledger while it was indexed."""
        keys = [each.key for each in indexed]
        kept = {each.key for each in await self._source.stored_as(keys)}
        if gone := [key for key in keys if key not in kept]:
            await self._index.remove(gone)
            await self._index.scrub()

    def _made(
        self,
        stored: StoredTranscript,
        transcript: Transcript,
        shown: ShownText = ShownText(),  # noqa: B008 - it is frozen
    ) -> tuple[IndexedTranscript, list[Passage]]:
        name = transcript.language
        language = self._languages.setdefault(name, Language(name))
        indexed = IndexedTranscript(
            stored.key,
            stored.file_sha256,
            stored.created_at,
            INDEX_VERSION,
            transcript.stream or 0,
            name,
            shown.id,
        )
        return indexed, passages_of(shown.of(transcript, language).segments, language)


def _is_current(
    known: IndexedTranscript | None, stored: StoredTranscript, shown: ShownText | None
) -> bool:
    return (
        known is not None
        and known.created_at == stored.created_at
        and known.version == INDEX_VERSION
        and (shown is None or known.edit == shown.id)
    )
