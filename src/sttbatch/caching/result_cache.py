"""Results of one engine and request, out of every level and into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.stored_chunk import StoredAudit, StoredChunk, decode_audit
from sttbatch.caching.stored_spans import StoredSpan, stored_spans
from sttbatch.caching.stored_transcript import decode_transcript, encode_transcript
from sttbatch.core.cache_entries import EntryMetadata
from sttbatch.core.models import Transcript
from sttbatch.core.options import RequestOptions
from sttbatch.core.ports import ChunkIndex, WorkLedger

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Hit(Generic[_T]):
    """A stored result and the level that had it."""

    value: _T
    level: str


class ResultCache:
    """What is derived from paid results, and transcripts; every write is on disk when it returns.

    `file_sha256` is the recording that a result is for.

    Raises:
        StateError: from every method, where the authority cannot be read or written.
    """

    def __init__(
        self,
        cache: MultiLevelCache,
        spans: ChunkIndex,
        ledger: WorkLedger,
        options: RequestOptions,
    ) -> None:
        self._cache = cache
        self._spans = spans
        self._ledger = ledger
        self._options = options

    async def audit(self, key: str, file_sha256: str) -> StoredAudit | None:
        """What an earlier repair of a chunk's gaps came to."""
        hit = await self._cache.get(key, file_sha256)
        return decode_audit(hit.value) if hit is not None else None

    async def store_audit(
        self, key: str, value: StoredAudit, audio_s: float, file_sha256: str
    ) -> None:
        await self._cache.put(key, msgspec.json.encode(value), self._metadata(audio_s, file_sha256))

    async def transcript(self, key: str) -> Hit[Transcript] | None:
        hit = await self._cache.get(key)
        transcript = decode_transcript(hit.value) if hit is not None else None
        return Hit(transcript, hit.level) if hit is not None and transcript is not None else None

    async def store_transcript(self, key: str, transcript: Transcript, file_sha256: str) -> None:
        metadata = self._metadata(transcript.duration_s, file_sha256)
        await self._cache.put(key, encode_transcript(transcript), metadata)

    async def store_joined(
        self, key: str, value: StoredChunk, audio_s: float, file_sha256: str
    ) -> None:
        """Store an answer that was joined from pieces, whose requests are booked."""
        await self._cache.put(key, msgspec.json.encode(value), self._metadata(audio_s, file_sha256))

    async def kept(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> tuple[StoredSpan, ...]:
        """The spans of a recording whose results are stored: in order, and apart."""
        return await stored_spans(self._spans, file_sha256, stream, request_sha256)

    async def kept_s(
        self, file_sha256s: Sequence[str], stream: int, request_sha256: str
    ) -> dict[str, float]:
        """Seconds of those recordings whose results are stored, by few queries."""
        return await self._spans.covered_s(file_sha256s, stream, request_sha256)

    async def latencies(self, limit: int) -> list[tuple[float, float]]:
        """(seconds of audio, seconds until its answer) of the latest answers of this model."""
        return await self._ledger.latencies(self._options.engine, self._options.model, limit)

    def _metadata(self, audio_s: float, file_sha256: str) -> EntryMetadata:
        return EntryMetadata(self._options.engine, self._options.model, audio_s, file_sha256)
