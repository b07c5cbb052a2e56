"""GapRepair: sends sound that came back without words again, in small pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache, StoredAudit
from sttbatch.core import events
from sttbatch.core.errors import (
    BudgetReached,
    ChunkError,
    ChunkRefused,
    MediaError,
    RetryLater,
    is_hindrance,
)
from sttbatch.core.models import (
    AudioChunk,
    ChunkSpan,
    DroppedSegment,
    Evidence,
    Gap,
    GapReason,
    Transcription,
)
from sttbatch.core.options import RunOptions
from sttbatch.core.threads import computed
from sttbatch.kinds.transcription import repair_audio
from sttbatch.kinds.transcription.chunk_transcriber import ChunkContext, ChunkTranscriber
from sttbatch.kinds.transcription.recording_job import RecordingJob
from sttbatch.kinds.transcription.repair_audio import RepairAudio
from sttbatch.kinds.transcription.repair_report import RepairedChunk, RepairReport
from sttbatch.processing.media.loudness import Span, merge_spans, uncovered
from sttbatch.processing.transcript import gap_detection
from sttbatch.processing.transcript.gap_detection import LoudnessProfile, SuspectSpans
from sttbatch.processing.transcript.speech_evidence import dropped_segments
from sttbatch.processing.transcript.timestamps import TimestampAdjuster

RETRIES = 2
"""How often a gap is sent again; the second time only the part that is still empty."""

_EMPTY = "speech was heard there, and no words came back"

_ADJUSTER = TimestampAdjuster()


class _Repair(Struct, frozen=True):
    """The repair of one chunk: its measured audio and the results so far."""

    job: RecordingJob
    context: ChunkContext
    audio: RepairAudio
    profile: LoudnessProfile
    report: RepairReport

    def add_empty(self, *spans: Span) -> None:
        """Note spans that were sent again and came back without words."""
        if self.profile.speech is None:
            self.report.add_gaps(GapReason.NO_SPEECH, *spans)
        else:
            self.report.add_gaps(GapReason.STILL_MISSING, *spans, detail=_EMPTY)


class GapRepair(Struct, frozen=True):
    """Finds and fills the gaps of an answer, within `audit_share` and budgets."""

    transcriber: ChunkTranscriber
    results: ResultCache
    addresser: ContentAddresser
    run: RunOptions
    emit: events.Emit

    async def stored_repair(
        self, job: RecordingJob, span: ChunkSpan, transcription: Transcription, chunk_key: str
    ) -> RepairedChunk | None:
        """A chunk that needs no repair, or the result of an earlier one; None: repair it."""
        suspects = await _suspects(span, transcription)
        if not (self.run.audit and suspects):
            return RepairedChunk(transcription)
        if self.run.force:
            return None
        key = self.addresser.audit_key(chunk_key, vad=self.run.vad)
        stored = await self.results.audit(key, job.fingerprint.sha256)
        if stored is None:
            return None
        job.repair_s += stored.asked_s
        return RepairedChunk(
            stored.transcription,
            _in_recording(span, stored.gaps),
            dropped=_dropped_in_recording(span, stored.dropped),
        )

    async def repair(
        self,
        job: RecordingJob,
        context: ChunkContext,
        chunk: AudioChunk,
        transcription: Transcription,
    ) -> RepairedChunk:
        """The words with gaps filled, and the remaining gaps.

        Raises SttbatchError as `ChunkTranscriber.transcribe`, if it concerns more than a piece.
        """
        chunk_key = self.addresser.chunk_key(chunk.audio_sha256)
        stored_repair = await self.stored_repair(job, chunk.span, transcription, chunk_key)
        if stored_repair is not None:
            return stored_repair
        suspects = await _suspects(chunk.span, transcription)
        upload = chunk.upload
        try:
            audio = await repair_audio.measure(
                self.transcriber,
                job,
                chunk,
                suspects.spans_to_measure(transcription.segments),
                suspects.spans_in_question(transcription.segments) if self.run.vad else None,
            )
            profile = LoudnessProfile(audio.levels, suspects.holes, audio.speech)
            report = await computed(
                lambda: _examined(transcription, suspects, profile),
                small=transcription.is_short,
            )
            if not (report.missed or report.noises or report.dropped):
                return RepairedChunk(transcription)
            is_piece = not transcription.segments and upload.duration_s <= gap_detection.ONE_PIECE_S
            if is_piece and not self.run.vad:
                # The upload was such a piece itself.
                report.add_gaps(GapReason.NO_SPEECH, *report.missed)
            else:
                await self._retry(_Repair(job, context, audio, profile, report))
                report.resolve_loops()
        except MediaError as error:
            # The existing words must not be lost.
            message = f"an answer could not be audited: {error}"
            self.emit(events.Warned(job.display_path, message))
            return RepairedChunk(transcription)
        self.emit(report.event(job.display_path, chunk.span.index))
        repaired = report.transcription(transcription)
        if all(gap.reason is not GapReason.STILL_MISSING for gap in report.gaps):
            key = self.addresser.audit_key(chunk_key, vad=self.run.vad)
            value = StoredAudit(
                repaired, tuple(report.gaps), report.retried_s, tuple(report.dropped)
            )
            sha256 = job.fingerprint.sha256
            await self.results.store(key, value, sha256)
        return RepairedChunk(
            repaired,
            _in_recording(chunk.span, report.gaps),
            report.sent,
            report.over_budget,
            _dropped_in_recording(chunk.span, report.dropped),
        )

    async def _retry(self, repair: _Repair) -> None:
        """Send missing spans again, and what is still missing once more."""
        spans: Sequence[Span] = repair.report.missed
        for attempt in range(1, RETRIES + 1):
            if spans:
                spans = await self._retry_pieces(repair, await self._cut(repair, spans), attempt)
        repair.add_empty(*spans)

    async def _cut(self, repair: _Repair, spans: Sequence[Span]) -> list[AudioChunk]:
        """The pieces to send; if they cannot be cut, none, and gaps with the reason."""
        try:
            return await repair.audio.cut(spans)
        except MediaError as error:
            repair.job.hindered |= is_hindrance(error)
            detail = f"it could not be cut out to be sent again: {error}"
            repair.report.add_gaps(GapReason.STILL_MISSING, *spans, detail=detail)
            return []

    async def _retry_pieces(
        self, repair: _Repair, pieces: Iterable[AudioChunk], attempt: int
    ) -> list[Span]:
        """Use the words of pieces; returns the spans of sound that still have no words."""
        report = repair.report
        remaining: list[Span] = []
        for piece in pieces:
            span = gap_detection.span_of(piece.span)
            transcription = await self._transcribe_piece(repair, piece, span, attempt)
            if transcription is None:
                continue
            segments = _ADJUSTER.adjust(piece.span, transcription)
            usable = await asyncio.to_thread(gap_detection.without_loops, segments)
            if len(usable) < len(segments):
                report.looped_again.append(span)
            unspoken = dropped_segments(usable, range(len(usable)), repair.profile.speech)
            report.dropped += unspoken.values()
            spoken = [each for index, each in enumerate(usable) if index not in unspoken]
            new = list(gap_detection.drop_duplicates(spoken, span, report.trusted))
            report.filled += new
            if not new:
                repair.add_empty(span)
                continue
            rest = uncovered(
                [gap_detection.span_of(each) for each in new], span, gap_detection.HOLE_S
            )
            remaining += gap_detection.retry_spans(rest, repair.profile, timed=False)
        return remaining

    async def _transcribe_piece(
        self, repair: _Repair, piece: AudioChunk, span: Span, attempt: int
    ) -> Transcription | None:
        """A piece's words; None: a gap with the reason was added instead."""
        job, report = repair.job, repair.report
        audio_s = piece.upload.duration_s
        if report.over_budget is not None:
            report.add_gaps(GapReason.STILL_MISSING, span, detail=str(report.over_budget))
            return None
        if job.repair_s + audio_s > self.run.audit_share * job.length_s:
            share = f"{100 * self.run.audit_share:g} %"
            detail = f"audit_share is used up: up to {share} of the audio may be sent again"
            report.add_gaps(GapReason.STILL_MISSING, span, detail=detail)
            return None
        job.repair_s += audio_s
        report.retried_s += audio_s
        report.pieces += 1
        context = repair.context.of_piece(f"gap-{report.pieces}")
        chunk = job.display_path, context.index, audio_s
        try:
            transcription, cached = await self.transcriber.transcribe(context, piece, attempt)
        except (ChunkError, RetryLater, BudgetReached) as error:
            job.hindered |= is_hindrance(error)
            if isinstance(error, BudgetReached):
                report.over_budget = error
            is_refused = isinstance(error, ChunkRefused)
            reason = GapReason.REFUSED if is_refused else GapReason.STILL_MISSING
            report.add_gaps(reason, span, detail=str(error))
            self.emit(events.ChunkProcessingFailed(*chunk, str(error), context.piece))
            return None
        report.sent |= not cached
        self.emit(events.ChunkProcessingCompleted(*chunk, cached, context.piece))
        return transcription


def _in_recording(span: ChunkSpan, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    def at(upload_s: float) -> float:
        return _ADJUSTER.recording_s(span, upload_s)

    return tuple(
        Gap(at(gap.start_s), at(gap.end_s), gap.reason, gap.detail, span.channel)
        for gap in sorted(gaps, key=lambda gap: gap.start_s)
    )


def _dropped_in_recording(
    span: ChunkSpan, dropped: Iterable[DroppedSegment]
) -> tuple[DroppedSegment, ...]:
    return tuple(
        replace(each, segment=_ADJUSTER.adjust(span, Transcription("", (each.segment,)))[0])
        for each in dropped
    )


async def _suspects(span: ChunkSpan, transcription: Transcription) -> SuspectSpans:
    # Of a hundred thousand words it takes seconds, in which signals and other lanes are heard.
    own = _ADJUSTER.own_part(span)
    return await computed(
        lambda: gap_detection.suspect_spans(transcription, own),
        small=transcription.is_short,
    )


def _examined(
    transcription: Transcription, suspects: SuspectSpans, profile: LoudnessProfile
) -> RepairReport:
    """Divide an answer into trusted segments, missing spans and suspect segments."""
    segments = transcription.segments
    dropped = dropped_segments(segments, suspects.doubtful, profile.speech)
    for index in suspects.sparse | suspects.looped:
        if profile.is_silent(gap_detection.span_of(segments[index])):
            dropped[index] = DroppedSegment(segments[index], (Evidence.NO_SPEECH,))
    untrusted = suspects.looped.union(dropped)
    trusted = [each for index, each in enumerate(segments) if index not in untrusted]
    timed = all(segment.words for segment in trusted)
    holes = gap_detection.holes_between(trusted, suspects.own)
    report = RepairReport(
        trusted,
        missed=gap_detection.retry_spans(holes, profile, timed=timed),
        noises=[noise for hole in holes for noise in profile.noises_in(hole)],
        looped=[segments[index] for index in suspects.looped.difference(dropped)],
        dropped=list(dropped.values()),
    )
    silent = merge_spans(gap_detection.span_of(each.segment) for each in report.dropped)
    report.add_gaps(GapReason.NO_SPEECH, *merge_spans([*silent, *report.noises]))
    return report
