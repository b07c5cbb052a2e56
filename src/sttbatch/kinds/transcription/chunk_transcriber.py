"""ChunkTranscriber: a chunk's words from the cache, from the engine, or from its pieces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache, StoredChunk, decoded
from sttbatch.core import events
from sttbatch.core.engine import APIRequest, Engine, RecordRequest
from sttbatch.core.errors import (
    ChunkError,
    ChunkHindered,
    ChunkTooLarge,
    MediaError,
    SttbatchError,
    is_hindrance,
)
from sttbatch.core.jobs import Claim
from sttbatch.core.models import (
    AudioChunk,
    GapReason,
    Segment,
    Transcription,
    Upload,
    UploadCodec,
)
from sttbatch.core.work import AUDIO_SECONDS, IndexedSpan, Usage, WorkItem
from sttbatch.execution.pay_once import PayOnce, Reply
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.media.media_messages import Source, SplitPlan
from sttbatch.processing.media.media_workers import MediaWorkers
from sttbatch.processing.scheduling.orchestrator import Lane
from sttbatch.processing.transcript.result_merger import ChunkOutcome, ResultMerger

MIN_SPLIT_S = 2.0
"""Pieces are not shorter than this when a chunk is too large for the endpoint."""

RE_ENCODED = {"flac": UploadCodec.FLAC, "wav": UploadCodec.WAV}
"""Codecs that can be re-encoded without loss; pieces of others are copied."""

_HALF = 0.5
_WINDOW_ROOM = 0.85
"""A share of a piece's maximum duration, as the search for silence may add 15 % to its target."""


class ChunkContext(Struct, frozen=True):
    """The chunk that is transcribed, and its recording.

    Attributes:
        recording, file_sha256: the recording's name and content hash.
        claim, lane: the claim on its job, and the lane of the chunk's requests.
        index: of the chunk in its recording.
        piece: the name of a piece of the chunk; None: the whole chunk.
        stream: the audio stream of the recording that is transcribed.
    """

    recording: str
    file_sha256: str
    claim: Claim
    lane: Lane
    index: int
    piece: str | None = None
    stream: int = 0

    def of_piece(self, name: str) -> ChunkContext:
        """The context of a piece of this chunk, or of this piece."""
        return replace(self, piece=name if self.piece is None else f"{self.piece}.{name}")


class ChunkTranscriber(Struct, frozen=True, kw_only=True):
    """Transcribes chunks, which are paid for once; a chunk that is too large is split.

    Args:
        results: stores words that were joined from pieces.
        observe: called with each request while it has its lane.
    """

    engine: Engine
    pay_once: PayOnce
    results: ResultCache
    addresser: ContentAddresser
    splitters: MediaWorkers
    config: RunConfig
    observe: Callable[[APIRequest], None]
    emit: events.Emit

    async def transcribe(
        self, context: ChunkContext, chunk: AudioChunk, attempt: int = 0
    ) -> tuple[Transcription, bool]:
        """The words, in the upload's time, and whether they were already stored.

        A piece's words always have times; `attempt` counts those of gap repair from 1.

        Raises:
            ChunkError: it has no words; the message says why.
            SttbatchError: as `Engine.transcribe` raises, BudgetReached, StateError.
        """
        item = self._item(context, chunk, attempt)
        request, upload = _ChunkRequest(self, context, chunk, item), chunk.upload
        try:
            transcription, cached = await self.pay_once.result(
                request, context.claim.task_id, context.lane
            )
        except ChunkTooLarge as error:
            if upload.duration_s < 2 * MIN_SPLIT_S:
                raise
            transcription, cached = await self._in_pieces(context, chunk, error), False
            value = StoredChunk(transcription, upload.codec, "joined")
            await self.results.store(item.key, value, context.file_sha256)
        if context.piece is None or self.engine.timestamps:
            return transcription, cached
        text = transcription.text
        segments = (Segment(text, 0.0, upload.duration_s),) if text else ()
        return replace(transcription, segments=segments), cached

    async def cut_all(self, source: Source, plan: SplitPlan) -> list[AudioChunk]:
        """Cut a source completely, before any piece is sent, as others wait for the worker.

        Raises MediaError if it cannot be cut; then no piece remains.
        """
        pieces: list[AudioChunk] = []
        try:
            async with self.splitters.split(source, plan) as cutting:
                while (piece := await cutting.next()) is not None:
                    pieces.append(piece)
        except BaseException:
            _discard(pieces)
            raise
        return pieces

    def _item(self, context: ChunkContext, chunk: AudioChunk, attempt: int) -> WorkItem:
        config, audio_s = self.config, chunk.upload.duration_s
        key = self.addresser.chunk_key(chunk.audio_sha256, attempt)
        span = None
        # A piece's span is in its upload's time, so it is not stored in the index of spans.
        if context.piece is None:
            cut = self.addresser.cut_sha256(chunk.span.channel)
            span = IndexedSpan(context.file_sha256, context.stream, cut, chunk.span, key)
        return WorkItem(
            key,
            context.file_sha256,
            context.index,
            config.request.engine,
            config.request.model,
            Usage(AUDIO_SECONDS, audio_s),
            audio_s * config.run.price_per_second,
            span,
        )

    async def _in_pieces(
        self, context: ChunkContext, chunk: AudioChunk, error: ChunkTooLarge
    ) -> Transcription:
        """Cut the upload again, transcribe each piece, and join the words in the upload's time."""
        self.emit(events.ChunkSplit(context.recording, context.index, f"in pieces: {error}"))
        pieces: list[AudioChunk] = []
        try:
            pieces = await self.cut_all(source_of(chunk.upload), self._plan(chunk, error))
            outcomes = [await self._piece(context, piece) for piece in pieces]
        except MediaError as failure:
            kind = ChunkHindered if is_hindrance(failure) else ChunkError
            raise kind(f"{error}; cutting it smaller failed: {failure}") from failure
        finally:
            _discard(pieces)
        joined = ResultMerger().merge(outcomes, chunk.upload.duration_s)
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
            vad=self.config.run.vad,
        )

    async def _piece(self, context: ChunkContext, piece: AudioChunk) -> ChunkOutcome:
        if piece.silent:
            return ChunkOutcome(piece.span, None, gap=GapReason.NO_SPEECH)
        context, audio_s = context.of_piece(str(piece.span.index + 1)), piece.span.duration_s
        name, index = context.recording, context.index
        try:
            transcription, cached = await self.transcribe(context, piece)
        except SttbatchError as error:
            self.emit(events.ChunkProcessingFailed(name, index, audio_s, str(error), context.piece))
            raise
        self.emit(events.ChunkProcessingCompleted(name, index, audio_s, cached, context.piece))
        return ChunkOutcome(piece.span, transcription, cached)


def source_of(upload: Upload) -> Source:
    """The upload as a source to cut or measure; large ones are read from their file."""
    path = os.fsencode(upload.path) if upload.path is not None else None
    return Source(upload.size_bytes, path=path, data=upload.data)


def _discard(pieces: Iterable[AudioChunk]) -> None:
    for piece in pieces:
        piece.upload.discard()


class _ChunkRequest(Struct, frozen=True):
    """The `PaidRequest` of a chunk."""

    transcriber: ChunkTranscriber
    context: ChunkContext
    chunk: AudioChunk
    item: WorkItem

    def decode(self, stored: bytes) -> Transcription | None:
        value = decoded(stored, StoredChunk)
        return None if value is None else value.transcription

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[Transcription]:
        upload = self.chunk.upload
        answer = await self.transcriber.engine.transcribe(
            upload, self.transcriber.config.request, record, stopped
        )
        value = StoredChunk(answer.transcription, upload.codec, answer.response_format)
        return Reply(answer.transcription, msgspec.json.encode(value), answer.request)

    def looked_up(self, level: str | None) -> None:
        self.transcriber.emit(events.CacheLookup(self.context.recording, self.item.key, level))

    def started(self, queue_wait_s: float) -> None:
        name, index, piece = self.context.recording, self.context.index, self.context.piece
        audio_s = self.chunk.upload.duration_s
        event = events.ChunkProcessingStarted(name, index, audio_s, queue_wait_s, piece)
        self.transcriber.emit(event)

    def requested(self, request: APIRequest, cost: float) -> None:
        self.transcriber.observe(request)
        name, index, piece = self.context.recording, self.context.index, self.context.piece
        self.transcriber.emit(events.APIRequestCompleted.of(name, index, request, cost, piece))

    def stored(self, store_s: float) -> None:
        name, index, piece = self.context.recording, self.context.index, self.context.piece
        self.transcriber.emit(events.AnswerStored(name, index, store_s, piece))
