"""What the ledger knows about transcripts and where they are: for the search index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sttbatch.core.search import KnownOutput, StoredTranscript
from sttbatch.database.database import Database
from sttbatch.database.results import FOREVER_S
from sttbatch.database.speaker_names import SqlSpeakerNames

_STORED = """
    SELECT cache_entries.key, file_sha256, created_at, model
    FROM cache_entries JOIN entry_files ON entry_files.key = cache_entries.key
    WHERE cache_entries.key >= 'transcript:' AND cache_entries.key < 'transcript;'
      AND (expires_at IS NULL OR expires_at > (SELECT ledger_now()))"""
# An index holds all of it.
STORED = f"{_STORED} AND created_at > (SELECT ledger_now()) - ?"
STORED_AS = f"{_STORED} AND cache_entries.key IN (?*)"
STORED_UNDER = f"{_STORED} AND cache_entries.key >= ? AND cache_entries.key < ?"
STORED_OF = f"{_STORED} AND file_sha256 IN (?*) AND created_at > (SELECT ledger_now()) - ?"
# A search looks at each of many thousand: nothing more is read of what did not change.
OUTPUT_STATES = "SELECT path, file_state FROM outputs WHERE format IN (?*)"
OUTPUTS = "SELECT path, source, format, sha256, file_state FROM outputs WHERE path IN (?*)"
# Of several dictionaries one wins, always the same one.
RULED = """SELECT transcript_key, dictionary FROM outputs
    WHERE dictionary IS NOT NULL ORDER BY path"""
DICTIONARIES = "SELECT sha256, rules FROM dictionaries"
CONTENTS = "SELECT path, sha256 FROM files"
PATHS = "SELECT sha256, path FROM files WHERE sha256 IN (?*)"


class SqlTranscriptSource:
    """A `TranscriptSource` over the ledger; older entries than `max_age_s` count as missing."""

    def __init__(self, database: Database, max_age_s: float | None = None) -> None:
        self._database = database
        self._max_age_s = FOREVER_S if max_age_s is None else max_age_s

    async def stored(self) -> list[StoredTranscript]:
        rows = await self._database.rows(STORED, (self._max_age_s,))
        return [StoredTranscript(*row) for row in rows]

    async def stored_of(self, file_sha256s: Sequence[str]) -> list[StoredTranscript]:
        rows = await self._database.batched_rows(STORED_OF, file_sha256s, self._max_age_s)
        return [StoredTranscript(*row) for row in rows]

    async def stored_as(self, keys: Sequence[str]) -> list[StoredTranscript]:
        return [
            StoredTranscript(*row) for row in await self._database.batched_rows(STORED_AS, keys)
        ]

    async def stored_under(self, prefix: str) -> list[StoredTranscript]:
        # ";" is what follows ":".
        bounds = (prefix, prefix.removesuffix(":") + ";")
        return [StoredTranscript(*row) for row in await self._database.rows(STORED_UNDER, bounds)]

    async def output_states(self, formats: Collection[str]) -> list[tuple[bytes, str | None]]:
        return await self._database.batched_rows(OUTPUT_STATES, [*formats])

    async def outputs(self, paths: Sequence[bytes]) -> list[KnownOutput]:
        rows = await self._database.batched_rows(OUTPUTS, paths)
        return [
            KnownOutput(path, source, name, tuple(sha256s.split()), state)
            for path, source, name, sha256s, state in rows
        ]

    async def speaker_names(self) -> Mapping[str, Mapping[str, str]]:
        return await SqlSpeakerNames(self._database).all()

    async def rules(self) -> dict[str, str]:
        # Many transcripts share one dictionary, which is large.
        rules = dict(await self._database.rows(DICTIONARIES))
        ruled = await self._database.rows(RULED)
        return {key: rules[digest] for key, digest in ruled if digest in rules}

    async def contents(self) -> list[tuple[bytes, str]]:
        return await self._database.rows(CONTENTS)

    async def paths_by_content(self, file_sha256s: Sequence[str]) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = defaultdict(list)
        for sha256, path in await self._database.batched_rows(PATHS, file_sha256s):
            found[sha256].append(path)
        return found
