"""Results and posts of one engine and request: looked up in every level, kept before they count."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.response_spool import ResponseSpool, SpooledResponse
from sttbatch.caching.stored_chunk import StoredAudit, StoredChunk, decode_audit, decode_chunk
from sttbatch.caching.stored_spans import StoredSpan, stored_spans
from sttbatch.caching.stored_transcript import decode_transcript, encode_transcript
from sttbatch.core.cache_entries import EntryMetadata
from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.models import ChunkSpan, Transcript
from sttbatch.core.options import RequestOptions
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.results import SqlResultStore
from sttbatch.database.session import Session

_T = TypeVar("_T")

RECORD_POST = """
    INSERT INTO requests (at, chunk_key, engine, model, attempt, status, error, request_id,
                          latency_s, quantity, sent_bytes, cost, maybe_paid)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
POST_IS_RECORDED = "SELECT 1 FROM requests WHERE chunk_key = ? AND at = ? AND attempt = ?"

# A post without an error brought an answer, whether over the network (200) or not (NULL).
LATENCIES = """
    SELECT quantity, latency_s FROM requests
    WHERE engine = ? AND model = ? AND error IS NULL ORDER BY at DESC LIMIT ?"""

# What a run that is over had reserved became a request of its own, begun when it was claimed; the
# post that is known now takes its place.
DROP_RESERVED = """
    DELETE FROM requests WHERE chunk_key = :key AND status IS NULL AND at =
        (SELECT started_at FROM chunk_tasks
         WHERE chunk_key = :key AND worker_id = :worker AND status = 'FAILED')"""
COMPLETE_CHUNK = """
    UPDATE chunk_tasks SET status = 'COMPLETED', error_message = NULL
    WHERE chunk_key = :key AND worker_id = :worker AND status = 'FAILED'"""


@dataclass(frozen=True, slots=True)
class Hit(Generic[_T]):
    """A stored result and the level that had it."""

    value: _T
    level: str


class ResultCache:
    """Every write is on disk when it returns; `file_sha256` is the recording it is for.

    Args:
        spool: keeps what comes in while the ledger cannot be written, for `recover`.

    Raises:
        StateError: from every method, where the ledger cannot be read or written.
    """

    def __init__(
        self,
        cache: MultiLevelCache,
        ledger: SqlResultStore,
        options: RequestOptions,
        price_per_second: float,
        spool: ResponseSpool | None = None,
    ) -> None:
        self._cache = cache
        self._ledger = ledger
        self._database = ledger.database
        self._cuts = SqlChunkIndex(ledger.database, ledger)
        self._options = options
        self._price = price_per_second
        self._spool = spool

    def reserve(self) -> None:
        """Have room for the answers in flight, whatever happens to the disk; before sending."""
        if self._spool is not None:
            self._spool.reserve()

    async def recover(self) -> None:
        """Store what earlier runs kept in the spool; to be called before anything is looked up."""
        if self._spool is None:
            return
        with contextlib.closing(self._spool.left_behind()) as left_behind:
            for kept in left_behind:
                await self._recover(kept)

    async def chunk(self, key: str, file_sha256: str) -> Hit[StoredChunk] | None:
        """A chunk's stored answer; a damaged one is a miss."""
        found = await self._cache.get(key, file_sha256)
        value = decode_chunk(found.value) if found is not None else None
        return Hit(value, found.level) if found is not None and value is not None else None

    async def audit(self, key: str, file_sha256: str) -> StoredAudit | None:
        """What an earlier audit found."""
        found = await self._cache.get(key, file_sha256)
        return decode_audit(found.value) if found is not None else None

    async def store_audit(
        self, key: str, value: StoredAudit, audio_s: float, file_sha256: str
    ) -> None:
        await self._cache.put(key, msgspec.json.encode(value), self._facts(audio_s, file_sha256))

    def holds_chunk(self, db: Session, key: str) -> bool:
        """Whether a chunk's answer is stored; for decisions within a transaction."""
        return self._ledger.holds(db, key)

    async def transcript(self, key: str) -> Hit[Transcript] | None:
        found = await self._cache.get(key)
        return _transcript(found.value, found.level) if found is not None else None

    async def store_chunk(
        self,
        key: str,
        value: StoredChunk,
        post: APIRequest,
        file_sha256: str,
        along: Callable[[Session], object] = lambda _: None,
        worker_id: str = "",
        stored: Callable[[], None] | None = None,
    ) -> None:
        """The answer, the post that brought it, and what `along` writes, in one transaction.

        `stored` is called once that is on the disk, before nearer levels are filled.

        Raises:
            StateError: the ledger did not take it; then it is in the spool, or the message says
                why not.
        """
        kept = self._kept_answer(key, msgspec.json.encode(value), post, file_sha256, worker_id)

        def beside(db: Session) -> None:
            _insert_post(db, kept)
            along(db)

        try:
            await self._cache.put(
                key,
                kept.value or b"",
                self._facts(post.audio_s, file_sha256),
                along=beside,
                stored=stored,
            )
        except StateError as error:
            raise self._spooled(kept, error) from error

    async def store_joined(
        self, key: str, value: StoredChunk, audio_s: float, file_sha256: str
    ) -> None:
        """An answer joined from pieces whose posts are recorded."""
        await self._cache.put(key, msgspec.json.encode(value), self._facts(audio_s, file_sha256))

    async def store_transcript(self, key: str, transcript: Transcript, file_sha256: str) -> None:
        facts = self._facts(transcript.duration_s, file_sha256)
        await self._cache.put(key, encode_transcript(transcript), facts)

    async def record_post(
        self, key: str, post: APIRequest, file_sha256: str = "", worker_id: str = ""
    ) -> None:
        """A post that brought no answer, or none that is kept.

        Raises:
            StateError: as `store_chunk` does.
        """
        kept = self._kept_answer(key, None, post, file_sha256, worker_id)
        try:
            await self._database.write(lambda db: _insert_post(db, kept))
        except StateError as error:
            raise self._spooled(kept, error) from error

    async def remember_cut(
        self, file_sha256: str, stream: int, request_sha256: str, span: ChunkSpan, key: str
    ) -> None:
        """Where a recording was cut, so that a later run keeps what has its words."""
        await self._cuts.remember(file_sha256, stream, request_sha256, span, key)

    def remembering_cut(
        self, file_sha256: str, stream: int, request_sha256: str, span: ChunkSpan, key: str
    ) -> Callable[[Session], object]:
        """The same, for a transaction that writes something else as well."""
        return lambda session: self._cuts.insert(
            session, file_sha256, stream, request_sha256, span, key
        )

    async def kept(
        self, file_sha256: str, stream: int, request_sha256: str
    ) -> tuple[StoredSpan, ...]:
        """The stretches of a recording that have their words: in order, and apart."""
        return await stored_spans(self._cuts, file_sha256, stream, request_sha256)

    async def kept_s(
        self, file_sha256s: Sequence[str], stream: int, request_sha256: str
    ) -> dict[str, float]:
        """Seconds of those recordings that have their words, by few queries."""
        return await self._cuts.covered_s(file_sha256s, stream, request_sha256)

    async def latencies(self, limit: int) -> list[tuple[float, float]]:
        """(seconds of audio, seconds until its answer) of the latest answers of this model."""
        row = (self._options.engine, self._options.model, limit)
        return await self._database.read(lambda db: db.execute(LATENCIES, row).fetchall())

    def _facts(self, audio_s: float, file_sha256: str) -> EntryMetadata:
        return EntryMetadata(self._options.engine, self._options.model, audio_s, file_sha256)

    def _kept_answer(
        self, key: str, value: bytes | None, post: APIRequest, file_sha256: str, worker_id: str
    ) -> SpooledResponse:
        cost = post.audio_s * self._price if post.paid or post.maybe_paid else 0.0
        engine, model = self._options.engine, self._options.model
        return SpooledResponse(key, value, post, cost, file_sha256, engine, model, worker_id)

    def _spooled(self, kept: SpooledResponse, error: StateError) -> StateError:
        """Keep it outside of the ledger; returns what to raise."""
        if self._spool is None:
            return error
        try:
            self._spool.keep(kept)
        except StateError as lost:
            what = "an answer" if kept.value is not None else "a failed request"
            return StateError(f"{error}; {what} could not be kept: {lost}")
        return StateError(
            f"{error}; what came in is kept in {self._spool.folder}, and the next run stores it"
        )

    async def _recover(self, kept: SpooledResponse) -> None:
        def beside(db: Session) -> None:
            # We may have been killed after this was committed and before its file was removed.
            row = (kept.key, kept.post.at, kept.post.attempt)
            if db.execute(POST_IS_RECORDED, row).fetchone() is None:
                _insert_post(db, kept)
            claim = {"key": kept.key, "worker": kept.worker_id}
            db.execute(DROP_RESERVED, claim)
            if kept.value is not None:
                db.execute(COMPLETE_CHUNK, claim)

        # What was stored since is newer.
        if kept.value is None or await self._ledger.get_many([kept.key]):
            await self._database.write(beside)
            return
        facts = EntryMetadata(kept.engine, kept.model, kept.post.audio_s, kept.file_sha256)
        await self._cache.put(kept.key, kept.value, facts, along=beside)


def _insert_post(db: Session, kept: SpooledResponse) -> None:
    post = kept.post
    row = (
        post.at,
        kept.key,
        kept.engine,
        kept.model,
        post.attempt,
        post.status,
        post.error,
        post.request_id,
        post.latency_s,
        post.audio_s,
        post.sent_bytes,
        kept.cost,
        post.maybe_paid,
    )
    db.execute(RECORD_POST, row)


def _transcript(data: bytes, level: str) -> Hit[Transcript] | None:
    transcript = decode_transcript(data)
    return Hit(transcript, level) if transcript is not None else None
