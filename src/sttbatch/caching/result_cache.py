"""Results of one engine and request, out of every level and into them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.stored_chunk import StoredAudit, StoredChunk, decoded
from sttbatch.caching.stored_transcript import decode_transcript, encode_transcript
from sttbatch.core.cache_entries import EntryMetadata
from sttbatch.core.models import Transcript
from sttbatch.core.options import RequestOptions


@dataclass(frozen=True, slots=True)
class ResultCache:
    """What is derived from paid results, and transcripts; every write is on disk when it returns.

    `file_sha256` is the recording that a result is for.

    Raises:
        StateError: from every method, where the authority cannot be read or written.
    """

    cache: MultiLevelCache
    options: RequestOptions

    async def audit(self, key: str, file_sha256: str) -> StoredAudit | None:
        """What an earlier repair of a chunk's gaps came to."""
        hit = await self.cache.get(key, file_sha256)
        return decoded(hit.value, StoredAudit) if hit is not None else None

    async def store(
        self, key: str, value: StoredChunk | StoredAudit, audio_s: float, file_sha256: str
    ) -> None:
        """Store what was made of answers whose requests are booked."""
        await self.cache.put(key, msgspec.json.encode(value), self._metadata(audio_s, file_sha256))

    async def transcript(self, key: str) -> tuple[Transcript, str] | None:
        """A stored transcript and the level that had it."""
        hit = await self.cache.get(key)
        transcript = decode_transcript(hit.value) if hit is not None else None
        return (transcript, hit.level) if hit is not None and transcript is not None else None

    async def store_transcript(self, key: str, transcript: Transcript, file_sha256: str) -> None:
        metadata = self._metadata(transcript.duration_s, file_sha256)
        await self.cache.put(key, encode_transcript(transcript), metadata)

    def _metadata(self, audio_s: float, file_sha256: str) -> EntryMetadata:
        return EntryMetadata(self.options.engine, self.options.model, audio_s, file_sha256)
