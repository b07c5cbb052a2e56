"""Every answer is audited: sound that has no words is asked for again, in small pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache
from sttbatch.caching.stored_chunk import StoredAudit
from sttbatch.core import events
from sttbatch.core.errors import (
    BudgetReached,
    ChunkError,
    ChunkRefused,
    MediaError,
    RetryLater,
)
from sttbatch.core.models import (
    AudioChunk,
    ChunkSpan,
    CutPoint,
    Gap,
    GapReason,
    Transcription,
    UploadCodec,
)
from sttbatch.core.options import MIB, RunOptions
from sttbatch.kinds.transcription.chunk_transcriber import ChunkContext, ChunkTranscriber
from sttbatch.kinds.transcription.recording_job import Job
from sttbatch.kinds.transcription.repair_report import RepairedChunk, RepairReport
from sttbatch.processing.media.loudness import Span, merge_spans, uncovered
from sttbatch.processing.media.media_messages import Measured
from sttbatch.processing.media.media_workers import MediaWorkers, Source
from sttbatch.processing.media.split_plan import SplitPlan
from sttbatch.processing.transcript import gap_detection
from sttbatch.processing.transcript.gap_detection import LoudnessProfile, SuspectSpans
from sttbatch.processing.transcript.timestamp_adjuster import TimestampAdjuster

ASKS = 2
"""How often a gap is asked for again, the second time what the first one left."""


class GapRepair:
    """Finds what an answer lacks and fills it, as far as `audit_share` and budgets allow.

    Args:
        splitters: measure uploads and cut pieces out of them.
    """

    def __init__(
        self,
        answers: ChunkTranscriber,
        results: ResultCache,
        addresser: ContentAddresser,
        splitters: MediaWorkers,
        run: RunOptions,
        emit: events.Emit,
    ) -> None:
        self._answers = answers
        self._results = results
        self._addresser = addresser
        self._splitters = splitters
        self._run = run
        self._emit = emit
        self._adjuster = TimestampAdjuster()

    async def known(
        self, job: Job, chunk_span: ChunkSpan, heard: Transcription, chunk_key: str
    ) -> RepairedChunk | None:
        """What an earlier audit made of it, or nobody doubts; None: it has to be listened to."""
        if not self._run.audit or not gap_detection.suspect_spans(heard, self._own(chunk_span)):
            return RepairedChunk(heard)
        if self._run.force:
            return None
        key = self._addresser.audit_key(chunk_key)
        found = await self._results.audit(key, job.fingerprint.sha256)
        if found is None:
            return None
        job.audit_s += found.asked_s
        return RepairedChunk(found.heard, self._in_recording(chunk_span, found.gaps))

    async def audited(
        self, job: Job, asker: ChunkContext, chunk: AudioChunk, heard: Transcription
    ) -> RepairedChunk:
        """The answer with what was missing filled in, and what is missing still.

        Raises:
            SttbatchError: as `ChunkTranscriber.heard` does, where it concerns more than a piece.
        """
        chunk_key = self._addresser.chunk_key(chunk.audio_sha256)
        known = await self.known(job, chunk.span, heard, chunk_key)
        if known is not None:
            return known
        doubted = gap_detection.suspect_spans(heard, self._own(chunk.span))
        source = _source(chunk)
        try:
            spans = doubted.spans_to_measure(heard.segments)
            measured = await self._splitters.measure(source, spans)
            found = await self._examine(job, asker, chunk, source, heard, doubted, measured)
        except MediaError as error:
            # The words that are there must not be lost over it.
            message = f"an answer could not be audited: {error}"
            self._emit(events.Warned(job.display_path, message))
            return RepairedChunk(heard)
        if found is None:
            return RepairedChunk(heard)
        self._emit(found.audited(job.display_path, chunk.span.index))
        segments = tuple(sorted([*found.kept, *found.filled], key=lambda each: each.start_s))
        result = Transcription(gap_detection.joined_text(segments), segments, heard.language)
        if all(gap.reason is not GapReason.STILL_MISSING for gap in found.gaps):
            await self._results.store_audit(
                self._addresser.audit_key(chunk_key),
                StoredAudit(result, tuple(found.gaps), found.asked_s),
                chunk.upload.duration_s,
                job.fingerprint.sha256,
            )
        gaps = self._in_recording(chunk.span, found.gaps)
        return RepairedChunk(result, gaps, found.sent, found.over_budget)

    async def _examine(
        self,
        job: Job,
        asker: ChunkContext,
        chunk: AudioChunk,
        source: Source,
        heard: Transcription,
        doubted: SuspectSpans,
        measured: Measured,
    ) -> RepairReport | None:
        """None: the answer is as it should be."""
        listened = LoudnessProfile(measured.levels, doubted.holes)
        unfounded = {
            index
            for index in doubted.sparse | doubted.looped
            if listened.is_silent(gap_detection.span_of(heard.segments[index]))
        }
        kept = [
            each
            for index, each in enumerate(heard.segments)
            if index not in doubted.looped and index not in unfounded
        ]
        timed = all(segment.words for segment in kept)
        pieces = gap_detection.retry_spans(doubted.holes, listened, timed=timed)
        if not pieces and not unfounded:
            return None
        found = RepairReport(
            kept, missed=pieces, loops=len(doubted.looped - unfounded), unfounded=len(unfounded)
        )
        silent = merge_spans(gap_detection.span_of(heard.segments[index]) for index in unfounded)
        found.gaps += [Gap(*each, GapReason.NO_SPEECH) for each in silent]
        if not heard.segments and chunk.upload.duration_s <= gap_detection.ONE_PIECE_S:
            found.gaps += [Gap(*piece, GapReason.NO_SPEECH) for piece in pieces]
            return found
        for ask in range(1, ASKS + 1):
            if pieces:
                cut = await self._cut(source, pieces, measured, found)
                pieces = await self._ask(job, asker, cut, ask, found, listened)
        found.gaps += [Gap(*piece, GapReason.NO_SPEECH) for piece in pieces]
        found.settle_loops([heard.segments[index] for index in doubted.looped - unfounded])
        return found

    async def _cut(
        self, source: Source, pieces: Sequence[Span], measured: Measured, found: RepairReport
    ) -> list[AudioChunk]:
        """What to ask for; none, and gaps that say why, where that cannot be cut."""

        def at(second: float) -> CutPoint:
            return CutPoint(round(second / measured.time_base) + measured.origin_pts)

        plan = SplitPlan(
            target_s=gap_detection.PIECE_S,
            max_bytes=MIB,
            # Exact to the sample: a copied packet would take an end of the word before it along.
            codec=UploadCodec.FLAC,
            exact=tuple((at(piece.start_s), at(piece.end_s)) for piece in pieces),
            only_exact=True,
        )
        cut: list[AudioChunk] = []
        # All are cut before any is sent: other chunks' audits wait for the worker.
        try:
            async with self._splitters.split(source, plan) as cutting:
                while (piece := await cutting.next()) is not None:
                    cut.append(piece)
        except MediaError as error:
            for piece in cut:
                piece.upload.discard()
            detail = f"it could not be cut out to be asked for again: {error}"
            found.gaps += [Gap(*span, GapReason.STILL_MISSING, detail) for span in pieces]
            return []
        return cut

    async def _ask(
        self,
        job: Job,
        asker: ChunkContext,
        pieces: Iterable[AudioChunk],
        ask: int,
        found: RepairReport,
        listened: LoudnessProfile,
    ) -> list[Span]:
        """What is left without words after this ask and may still be asked for, or is empty."""
        left: list[Span] = []
        for piece in pieces:
            span = Span(piece.span.start_s, piece.span.end_s)
            heard = await self._heard(job, asker, piece, ask, found)
            if heard is None:
                continue
            segments = self._adjuster.adjust(piece.span, heard)
            words = [each for each in segments if not gap_detection.is_loop(each.text)]
            if len(words) < len(segments):
                found.again_looped.append(span)
            taken = [gap_detection.span_of(each) for each in found.kept]
            new = list(gap_detection.drop_duplicates(words, span, taken))
            found.filled += new
            rest = uncovered(
                [gap_detection.span_of(each) for each in new], span, gap_detection.HOLE_S
            )
            if not new:
                found.gaps.append(Gap(*span, GapReason.NO_SPEECH))
            else:
                left += gap_detection.retry_spans(rest, listened, timed=False)
        return left

    async def _heard(
        self, job: Job, asker: ChunkContext, piece: AudioChunk, ask: int, found: RepairReport
    ) -> Transcription | None:
        """A piece's words; None: there is a gap instead, that says why."""
        span = piece.span.start_s, piece.span.end_s
        audio_s = piece.upload.duration_s
        if found.over_budget is not None:
            detail = str(found.over_budget)
            found.gaps.append(Gap(*span, GapReason.STILL_MISSING, detail))
            return None
        if job.audit_s + audio_s > self._run.audit_share * job.length_s:
            share = f"{100 * self._run.audit_share:g} %"
            detail = f"audit_share is used up: asking again may add {share} of the audio"
            found.gaps.append(Gap(*span, GapReason.STILL_MISSING, detail))
            return None
        job.audit_s += audio_s
        found.asked_s += audio_s
        try:
            heard, cached = await self._answers.retranscribe(asker, piece, ask)
        except ChunkRefused as error:
            found.gaps.append(Gap(*span, GapReason.REFUSED, str(error)))
        except BudgetReached as error:
            found.over_budget = error
            found.gaps.append(Gap(*span, GapReason.STILL_MISSING, str(error)))
        except (ChunkError, RetryLater) as error:
            found.gaps.append(Gap(*span, GapReason.STILL_MISSING, str(error)))
        else:
            found.sent |= not cached
            return heard
        return None

    def _own(self, chunk_span: ChunkSpan) -> Span:
        return Span(*self._adjuster.own_part(chunk_span))

    def _in_recording(self, chunk_span: ChunkSpan, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
        def at(upload_s: float) -> float:
            return self._adjuster.recording_s(chunk_span, upload_s)

        return tuple(
            Gap(at(gap.start_s), at(gap.end_s), gap.reason, gap.detail, chunk_span.channel)
            for gap in sorted(gaps, key=lambda gap: gap.start_s)
        )


def _source(chunk: AudioChunk) -> Source:
    """The upload as it is; a large one is read where it lies."""
    upload = chunk.upload
    path = Path(upload.path) if upload.path is not None else None
    return Source(upload.size_bytes, path=path, data=upload.data)
