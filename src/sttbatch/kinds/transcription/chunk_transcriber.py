"""One chunk's words: from the cache, from the engine, or from its pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache
from sttbatch.caching.stored_chunk import StoredChunk, decode_chunk
from sttbatch.core import events
from sttbatch.core.engine import APIRequest, Engine, RecordRequest
from sttbatch.core.errors import ChunkError, ChunkTooLarge, MediaError, SttbatchError
from sttbatch.core.jobs import Claim
from sttbatch.core.models import AudioChunk, GapReason, Segment, Transcription, UploadCodec
from sttbatch.core.work import AUDIO_SECONDS, IndexedSpan, Usage, WorkItem
from sttbatch.execution.pay_once import PayOnce, Reply
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.processing.media.media_workers import MediaWorkers, Source
from sttbatch.processing.media.split_plan import SplitPlan
from sttbatch.processing.scheduling.priority_semaphore import Lane
from sttbatch.processing.transcript.result_merger import ChunkOutcome, ResultMerger

MIN_SPLIT_S = 2.0
"""A chunk shorter than this is not split further when the endpoint finds it too large."""

RE_ENCODED = {"flac": UploadCodec.FLAC, "wav": UploadCodec.WAV}
"""What can be encoded again without loss; pieces of anything else are copied."""

_HALF = 0.5
_WINDOW_ROOM = 0.85
"""Of a piece's longest duration; the search for silence may add 15 % to its target."""


@dataclass(frozen=True, slots=True)
class ChunkContext:
    """Which chunk is transcribed, and for which recording.

    Attributes:
        recording, file_sha256: the recording's name and content.
        claim, lane: our hold on it, and where the chunk's requests wait.
        index: of the chunk in its recording.
        piece: the name of a part of the chunk; None: all of it.
    """

    recording: str
    file_sha256: str
    claim: Claim
    lane: Lane
    index: int
    piece: str | None = None

    def of_piece(self, name: str) -> ChunkContext:
        """The same for a piece of this chunk, or of this piece."""
        return replace(self, piece=name if self.piece is None else f"{self.piece}.{name}")


class ChunkTranscriber:
    """Transcribes chunks, each paid for once; one that is too large is split.

    Args:
        results: takes what was joined from pieces.
        observe: told of each request, while its lane is still taken.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        pay_once: PayOnce,
        results: ResultCache,
        addresser: ContentAddresser,
        splitters: MediaWorkers,
        config: RunConfig,
        observe: Callable[[APIRequest], None],
        emit: events.Emit,
    ) -> None:
        self.engine = engine
        self.config = config
        self.observe = observe
        self.emit = emit
        self._pay_once = pay_once
        self._results = results
        self._addresser = addresser
        self._splitters = splitters
        self._merger = ResultMerger()

    async def transcribe(
        self, context: ChunkContext, chunk: AudioChunk
    ) -> tuple[Transcription, bool]:
        """The words, in the upload's time, and whether they were there already.

        Raises:
            ChunkError: no words; the message says why.
            SttbatchError: as `Engine.transcribe` raises, BudgetReached, StateError.
        """
        return await self._transcribe(context, chunk, self._span(context, chunk))

    async def retranscribe(
        self, context: ChunkContext, piece: AudioChunk, attempt: int
    ) -> tuple[Transcription, bool]:
        """The same for a piece of an upload whose gap is repaired, for the `attempt`-th time.

        Raises:
            ChunkError, SttbatchError: as `transcribe` does.
        """
        heard, cached = await self._transcribe(context, piece, attempt=attempt)
        return self._as_piece(piece, heard), cached

    async def _transcribe(
        self,
        context: ChunkContext,
        chunk: AudioChunk,
        span: IndexedSpan | None = None,
        attempt: int = 0,
    ) -> tuple[Transcription, bool]:
        key = self._addresser.chunk_key(chunk.audio_sha256, attempt)
        request = _ChunkRequest(self, context, chunk, self._item(key, context, chunk, span))
        duration_s = chunk.upload.duration_s
        try:
            return await self._pay_once.result(request, context.claim.task_id, context.lane)
        except ChunkTooLarge as error:
            if duration_s < 2 * MIN_SPLIT_S:
                raise
            heard = await self._in_pieces(context, chunk, error)
        value = StoredChunk(heard, chunk.upload.codec, "joined")
        await self._results.store_joined(key, value, duration_s, context.file_sha256)
        return heard, False

    def _item(
        self, key: str, context: ChunkContext, chunk: AudioChunk, span: IndexedSpan | None
    ) -> WorkItem:
        audio_s = chunk.upload.duration_s
        return WorkItem(
            key,
            context.file_sha256,
            context.index,
            self.config.request.engine,
            self.config.request.model,
            Usage(AUDIO_SECONDS, audio_s),
            audio_s * self.config.run.price_per_second,
            span,
        )

    def _span(self, context: ChunkContext, chunk: AudioChunk) -> IndexedSpan:
        return IndexedSpan(
            context.file_sha256,
            self.config.chunking.audio_stream,
            self._addresser.cut_sha256(chunk.span.channel),
            chunk.span,
            self._addresser.chunk_key(chunk.audio_sha256),
        )

    async def _in_pieces(
        self, context: ChunkContext, chunk: AudioChunk, error: ChunkTooLarge
    ) -> Transcription:
        """Cut the upload itself again, transcribe each piece, and join them in its time."""
        self.emit(events.ChunkSplit(context.recording, context.index, f"in pieces: {error}"))
        upload = chunk.upload
        pieces: list[AudioChunk] = []
        try:
            # All are cut before any is sent: a piece may have to be split again, and the worker
            # must be free for that.
            with upload.open() as file:
                source = Source(upload.size_bytes, data=file.read())
            async with self._splitters.split(source, self._plan(chunk, error)) as cutting:
                while (piece := await cutting.next()) is not None:
                    pieces.append(piece)
            outcomes = [await self._piece(context, piece) for piece in pieces]
        except MediaError as failure:
            raise ChunkError(f"{error}; cutting it smaller failed: {failure}") from failure
        finally:
            for piece in pieces:
                piece.upload.discard()
        joined = self._merger.merge(outcomes, upload.duration_s)
        return Transcription(joined.text, joined.segments, joined.language)

    def _plan(self, chunk: AudioChunk, error: ChunkTooLarge) -> SplitPlan:
        upload = chunk.upload
        longest_s = error.max_piece_s or upload.duration_s
        return SplitPlan(
            target_s=min(_HALF * upload.duration_s, _WINDOW_ROOM * longest_s),
            max_bytes=self.config.chunking.max_chunk_bytes,
            codec=RE_ENCODED.get(upload.codec, UploadCodec.COPY),
            declared_s=upload.duration_s,
            max_piece_s=error.max_piece_s,
        )

    async def _piece(self, context: ChunkContext, piece: AudioChunk) -> ChunkOutcome:
        if piece.silent:
            return ChunkOutcome(piece.span, None, gap=GapReason.NO_SPEECH)
        context, audio_s = context.of_piece(str(piece.span.index + 1)), piece.span.duration_s
        name, index = context.recording, context.index
        try:
            # A piece's span is in its upload's time, so the index of spans has no place for it.
            heard, cached = await self._transcribe(context, piece)
        except SttbatchError as error:
            self.emit(events.ChunkProcessingFailed(name, index, audio_s, str(error), context.piece))
            raise
        self.emit(events.ChunkProcessingCompleted(name, index, audio_s, cached, context.piece))
        return ChunkOutcome(piece.span, self._as_piece(piece, heard), cached)

    def _as_piece(self, piece: AudioChunk, heard: Transcription) -> Transcription:
        if self.engine.timestamps:
            return heard
        whole = Segment(heard.text, 0.0, piece.upload.duration_s)
        return Transcription(heard.text, (whole,) if heard.text else (), heard.language)


@dataclass(frozen=True, slots=True)
class _ChunkRequest:
    """A chunk as `PayOnce` sees it."""

    transcriber: ChunkTranscriber
    context: ChunkContext
    chunk: AudioChunk
    item: WorkItem

    def decode(self, stored: bytes) -> Transcription | None:
        value = decode_chunk(stored)
        return None if value is None else value.heard

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[Transcription]:
        upload = self.chunk.upload
        answer = await self.transcriber.engine.transcribe(
            upload, self.transcriber.config.request, record, stopped
        )
        value = StoredChunk(answer.transcription, upload.codec, answer.response_format)
        return Reply(answer.transcription, msgspec.json.encode(value), answer.post)

    def looked_up(self, level: str | None) -> None:
        self.transcriber.emit(events.CacheLookup(self.context.recording, self.item.key, level))

    def started(self, queue_wait_s: float) -> None:
        self.transcriber.emit(
            events.ChunkProcessingStarted(
                self.context.recording,
                self.item.index,
                self.chunk.upload.duration_s,
                queue_wait_s,
                self.context.piece,
            )
        )

    def requested(self, request: APIRequest) -> None:
        self.transcriber.observe(request)
        is_billed = request.paid or request.maybe_paid
        self.transcriber.emit(
            events.APIRequestCompleted(
                self.context.recording,
                self.item.index,
                request.status,
                request.latency_s,
                request.sent_bytes,
                request.attempt,
                request.maybe_paid,
                request.error,
                request.request_id,
                request.rate_wait_s,
                request.audio_s,
                self.item.cost if is_billed else 0.0,
                self.context.piece,
            )
        )
