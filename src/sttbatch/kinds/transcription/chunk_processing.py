"""ChunkProcessor: has a chunk transcribed, and gaps in its words repaired."""

from __future__ import annotations

from msgspec import Struct

from sttbatch.core import events
from sttbatch.core.errors import ChunkError, is_hindrance
from sttbatch.core.models import GapReason, Transcription
from sttbatch.core.threads import computed
from sttbatch.kinds.run_control import RunControl
from sttbatch.kinds.transcription.chunk_transcriber import ChunkContext, ChunkTranscriber
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.recording_job import ChunkWork
from sttbatch.processing.scheduling.orchestrator import Lane
from sttbatch.processing.transcript.result_merger import ChunkOutcome


class ChunkProcessor(Struct, frozen=True):
    """Processes the chunks of one run."""

    transcriber: ChunkTranscriber
    repair: GapRepair
    control: RunControl

    async def process(self, work: ChunkWork, lane: Lane) -> None:
        """Process one chunk; its errors do not affect other chunks."""
        job, chunk = work.job, work.chunk
        name, index, audio_s = job.display_path, chunk.span.index, chunk.span.duration_s
        try:
            with self.control.guard(job):
                outcome = await self._outcome(work, lane)
                words = outcome.transcription
                is_small = not isinstance(words, Transcription) or words.is_short
                job.outcomes.append(await computed(outcome.compressed, small=is_small))
                self.control.emit(
                    events.ChunkProcessingFailed(name, index, audio_s, outcome.detail)
                    if outcome.gap is GapReason.STILL_MISSING
                    else events.ChunkProcessingCompleted(name, index, audio_s, outcome.cached)
                )
        finally:
            chunk.upload.discard()
            job.pending -= 1

    async def _outcome(self, work: ChunkWork, lane: Lane) -> ChunkOutcome:
        job, chunk, span = work.job, work.chunk, work.chunk.span
        stored = job.recheck.get((span.channel, span.start, span.end))
        if stored is None and chunk.silent:
            return ChunkOutcome(span, None, gap=GapReason.NO_SPEECH)
        assert job.claim is not None
        sha256 = job.fingerprint.sha256
        context = ChunkContext(
            job.display_path, sha256, job.claim, lane, span.index, stream=job.stream
        )
        try:
            if stored is None:
                words, cached = await self.transcriber.transcribe(context, chunk)
            else:
                words, cached = stored.value.transcription, True
                if stored.chunk_key != self.transcriber.addresser.chunk_key(chunk.audio_sha256):
                    # It was cut by another version, so its upload cannot be repaired.
                    return ChunkOutcome(stored.span, words, cached)
        except ChunkError as error:
            job.hindered |= is_hindrance(error)
            return ChunkOutcome(span, None, gap=GapReason.STILL_MISSING, detail=str(error))
        if not cached:
            self.control.served()
        repaired = await self.repair.repair(job, context, chunk, words)
        if repaired.over_budget is not None:
            self.control.budget_reached(repaired.over_budget)
        return ChunkOutcome(
            span,
            repaired.transcription,
            cached and not repaired.sent,
            gaps=repaired.gaps,
            dropped=repaired.dropped,
        )
