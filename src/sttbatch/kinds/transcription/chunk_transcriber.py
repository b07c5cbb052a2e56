"""One chunk's words: from the cache, from the engine, or from its pieces."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache
from sttbatch.caching.stored_chunk import StoredChunk
from sttbatch.core import events
from sttbatch.core.engine import Answer, APIRequest, Engine
from sttbatch.core.errors import BudgetReached, ChunkError, ChunkTooLarge, MediaError, Stopped
from sttbatch.core.jobs import Claim
from sttbatch.core.models import (
    AudioChunk,
    ChunkSpan,
    GapReason,
    Segment,
    Transcription,
    UploadCodec,
)
from sttbatch.core.options import ChunkingOptions, RequestOptions, RunOptions
from sttbatch.database.session import Session
from sttbatch.execution.run_budget import Budget
from sttbatch.kinds.transcription.concurrency_feedback import TOO_MANY_REQUESTS, ConcurrencyFeedback
from sttbatch.kinds.transcription.report import BatchReport
from sttbatch.processing.media.media_workers import MediaWorkers, Source
from sttbatch.processing.media.split_plan import SplitPlan
from sttbatch.processing.scheduling.priority_semaphore import Lane
from sttbatch.processing.transcript.result_merger import ChunkOutcome, ResultMerger
from sttbatch.queue.budgets import OverBudget
from sttbatch.queue.chunk_claims import ChunkClaims, Granted, HeldBy

MIN_SPLIT_S = 2.0
"""A chunk shorter than this is not split further when the endpoint finds it too large."""

RE_ENCODED = {"flac": UploadCodec.FLAC, "wav": UploadCodec.WAV}
"""What can be encoded again without loss; pieces of anything else are copied."""

_HALF = 0.5
_WINDOW_ROOM = 0.85
"""Of a piece's longest duration; the search for silence may add 15 % to its target."""


@dataclass(frozen=True, slots=True)
class ChunkContext:
    """For which recording a chunk is asked: its name, its content, our hold on it, and its lane."""

    recording: str
    file_sha256: str
    claim: Claim
    lane: Lane


class ChunkTranscriber:
    """Never sends what the ledger holds, and holds every answer before it counts.

    A chunk is looked up and claimed while it waits; its lane is held from the request until the
    answer is stored.

    Args:
        closed: whether nothing more may be claimed.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        results: ResultCache,
        claims: ChunkClaims,
        closed: Callable[[], bool],
        pacing: ConcurrencyFeedback,
        addresser: ContentAddresser,
        splitters: MediaWorkers,
        request: RequestOptions,
        chunking: ChunkingOptions,
        run: RunOptions,
        emit: events.Emit,
        report: BatchReport,
    ) -> None:
        self._engine = engine
        self._results = results
        self._claims = claims
        self._closed = closed
        self._pacing = pacing
        self._addresser = addresser
        self._splitters = splitters
        self._request = request
        self._chunking = chunking
        self._force = run.force
        self._emit = emit
        self._report = report
        self._merger = ResultMerger()
        self._budget = Budget(run.max_cost, run.price_per_second)

    async def heard(self, asker: ChunkContext, chunk: AudioChunk) -> tuple[Transcription, bool]:
        """The words, in the upload's time, and whether they were there already.

        Raises:
            ChunkError: no words; the message says why.
            SttbatchError: as `Engine.transcribe` raises, BudgetReached, StateError.
        """
        return await self._found_or_asked(asker, chunk, is_piece=False)

    async def heard_again(
        self, asker: ChunkContext, piece: AudioChunk, ask: int
    ) -> tuple[Transcription, bool]:
        """The same for a piece of an upload that the audit asks for, for the `ask`-th time.

        Raises:
            ChunkError, SttbatchError: as `heard` does.
        """
        heard, cached = await self._found_or_asked(asker, piece, is_piece=True, ask=ask)
        return self._as_piece(piece, heard), cached

    async def _found_or_asked(
        self, asker: ChunkContext, chunk: AudioChunk, *, is_piece: bool, ask: int = 0
    ) -> tuple[Transcription, bool]:
        key = self._addresser.chunk_key(chunk.audio_sha256, ask)
        stored = await self._stored(asker, key)
        if stored is not None:
            if not is_piece:
                await self._results.remember_cut(*self._cut(asker, chunk, key))
            return stored, True
        try:
            return await self._claimed(asker, chunk, key, is_piece=is_piece)
        except ChunkTooLarge as error:
            if chunk.upload.duration_s < 2 * MIN_SPLIT_S:
                raise
            heard = await self._in_pieces(asker, chunk, error)
        value = StoredChunk(heard, chunk.upload.codec, "joined")
        duration_s = chunk.upload.duration_s
        await self._results.store_joined(key, value, duration_s, asker.file_sha256)
        return heard, False

    async def _stored(self, asker: ChunkContext, key: str) -> Transcription | None:
        hit = None if self._force else await self._results.chunk(key, asker.file_sha256)
        level = hit.level if hit is not None else None
        self._emit(events.CacheLookup(asker.recording, key, level))
        if hit is None:
            return None
        self._report.from_cache += 1
        return hit.value.heard

    def _cut(
        self, asker: ChunkContext, chunk: AudioChunk, key: str
    ) -> tuple[str, int, str, ChunkSpan, str]:
        request_sha256 = self._addresser.cut_sha256(chunk.span.channel)
        stream = self._chunking.audio_stream
        return asker.file_sha256, stream, request_sha256, chunk.span, key

    async def _claimed(
        self, asker: ChunkContext, chunk: AudioChunk, key: str, *, is_piece: bool
    ) -> tuple[Transcription, bool]:
        """Send it, unless somebody else is about to: then theirs is ours."""
        self._results.reserve()
        audio_s = chunk.upload.duration_s
        cost = audio_s * self._budget.price_per_second
        # A piece's stretch is in its upload's time, not in the recording's.
        remember = (
            _nothing if is_piece else self._results.remembering_cut(*self._cut(asker, chunk, key))
        )
        while not self._closed():
            got = await self._claims.claim(
                key,
                asker.claim,
                chunk.span.index,
                audio_s,
                cost,
                None if self._force else self._results.holds_chunk,
                along=remember,
            )
            if isinstance(got, Granted):
                return await self._sent(asker, chunk, got), False
            if isinstance(got, OverBudget):
                raise BudgetReached(f"{got.message}; run again to go on")
            if isinstance(got, HeldBy):
                await self._claims.wait_until_closed(key, self._closed)
            stored = await self._stored(asker, key)
            if stored is not None:
                return stored, True
        raise Stopped

    async def _sent(
        self, asker: ChunkContext, chunk: AudioChunk, granted: Granted
    ) -> Transcription:
        key = granted.chunk_key

        async def record(post: APIRequest) -> None:
            self._account(asker.recording, chunk, post)
            await self._results.record_post(key, post, asker.file_sha256, granted.worker_id)
            if post.status == TOO_MANY_REQUESTS:
                # Tried again at once it would only be one too many again.
                await asker.lane.yield_if_over_limit()

        answer = None
        try:
            with self._budget.reserved_for(chunk.upload.duration_s):
                queued_at_s = time.monotonic()
                await asker.lane.enter()
                self._emit(
                    events.ChunkProcessingStarted(
                        asker.recording,
                        chunk.span.index,
                        chunk.upload.duration_s,
                        time.monotonic() - queued_at_s,
                    )
                )
                answer = await self._engine.transcribe(chunk.upload, self._request, record)
            self._account(asker.recording, chunk, answer.post)
            await self._store(asker, chunk, granted, answer)
        except BaseException as error:
            if answer is None:
                # Its posts are recorded, so nothing is reserved for it any more.
                await self._claims.give_up(granted, str(error) or type(error).__name__)
            raise
        finally:
            asker.lane.leave()
        return answer.transcription

    async def _store(
        self, asker: ChunkContext, chunk: AudioChunk, granted: Granted, answer: Answer
    ) -> None:
        value = StoredChunk(answer.transcription, chunk.upload.codec, answer.response_format)
        await self._results.store_chunk(
            granted.chunk_key,
            value,
            answer.post,
            asker.file_sha256,
            along=lambda db: self._claims.close(db, granted),
            worker_id=granted.worker_id,
            stored=asker.lane.leave,
        )
        self._report.sent += 1
        self._report.sent_audio_s += chunk.upload.duration_s

    def _account(self, recording: str, chunk: AudioChunk, post: APIRequest) -> None:
        self._pacing.observe(post)
        if post.paid or post.maybe_paid:
            cost = post.audio_s * self._budget.price_per_second
            self._budget.spent += cost
            self._report.cost += cost
        self._report.maybe_paid += post.maybe_paid
        self._emit(
            events.APIRequestCompleted(
                recording,
                chunk.span.index,
                post.status,
                post.latency_s,
                post.sent_bytes,
                post.attempt,
                post.maybe_paid,
                post.error,
                post.request_id,
                post.rate_wait_s,
                post.audio_s,
            )
        )

    async def _in_pieces(
        self, asker: ChunkContext, chunk: AudioChunk, error: ChunkTooLarge
    ) -> Transcription:
        """Cut the upload itself again, ask for each piece, and join them in the upload's time."""
        self._emit(events.ChunkSplit(asker.recording, chunk.span.index, f"in pieces: {error}"))
        upload = chunk.upload
        longest_s = error.max_piece_s or upload.duration_s
        target_s = min(_HALF * upload.duration_s, _WINDOW_ROOM * longest_s)
        with upload.open() as file:
            data = file.read()
        codec = RE_ENCODED.get(upload.codec, UploadCodec.COPY)
        plan = SplitPlan(
            target_s=target_s,
            max_bytes=self._chunking.max_chunk_bytes,
            codec=codec,
            declared_s=upload.duration_s,
            max_piece_s=error.max_piece_s,
        )
        pieces = []
        try:
            # All are cut before any is sent: a piece may have to be split again, and the worker
            # must be free for that.
            async with self._splitters.split(Source(len(data), data=data), plan) as cutting:
                while (piece := await cutting.next()) is not None:
                    pieces.append(piece)
            outcomes = [await self._piece(asker, piece) for piece in pieces]
        except MediaError as failure:
            raise ChunkError(f"{error}; cutting it smaller failed: {failure}") from failure
        finally:
            for piece in pieces:
                piece.upload.discard()
        joined = self._merger.merge(outcomes, upload.duration_s)
        return Transcription(joined.text, joined.segments, joined.language)

    async def _piece(self, asker: ChunkContext, piece: AudioChunk) -> ChunkOutcome:
        if piece.silent:
            return ChunkOutcome(piece.span, None, gap=GapReason.NO_SPEECH)
        heard, cached = await self._found_or_asked(asker, piece, is_piece=True)
        return ChunkOutcome(piece.span, self._as_piece(piece, heard), cached)

    def _as_piece(self, piece: AudioChunk, heard: Transcription) -> Transcription:
        if self._engine.timestamps:
            return heard
        whole = Segment(heard.text, 0.0, piece.upload.duration_s)
        return Transcription(heard.text, (whole,) if heard.text else (), heard.language)


def _nothing(_: Session) -> None:
    """Writes nothing."""
