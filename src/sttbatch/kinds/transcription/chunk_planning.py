"""How a recording is cut: around what has its words already, into what the sizer advises."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import ResultCache
from sttbatch.caching.stored_spans import StoredSpan
from sttbatch.core import events
from sttbatch.core.engine import Engine
from sttbatch.core.models import CutPoint
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.recording_job import ChunkWork, Job
from sttbatch.kinds.transcription.report import BatchForecast, BatchReport, Forecast
from sttbatch.kinds.transcription.run_config import RunConfig
from sttbatch.processing.media.media_messages import FileState
from sttbatch.processing.media.media_workers import Cutting, Source
from sttbatch.processing.media.split_plan import SplitPlan
from sttbatch.processing.media.upload_format import upload_codec_for
from sttbatch.processing.scheduling.chunk_count_optimizer import pieces
from sttbatch.processing.scheduling.chunk_sizer import (
    BatchLoad,
    ChunkSizeRecommendation,
    DynamicChunkSizer,
)
from sttbatch.processing.scheduling.latency_model import GUESS, SAMPLES, fit_latency
from sttbatch.processing.transcript.compressed_result import compress
from sttbatch.processing.transcript.result_merger import ChunkOutcome


class ChunkPlanner:
    """Plans recordings and takes their chunks; first it is told what to `expect`."""

    def __init__(
        self,
        choices: RunConfig,
        engine: Engine,
        results: ResultCache,
        addresser: ContentAddresser,
        auditing: GapRepair,
        emit: events.Emit,
        report: BatchReport,
    ) -> None:
        self._auditing = auditing
        self._choices = choices
        self._engine = engine
        self._results = results
        self._addresser = addresser
        self._emit = emit
        self._report = report
        self._load = BatchLoad()
        self._positions: dict[Job, int] = {}
        self._latency = GUESS
        self._sizers: dict[tuple[bool, float | None], DynamicChunkSizer] = {}

    async def expect(self, jobs: Sequence[Job]) -> None:
        """Look at all that the batch has to send, in the order it will run, and how fast."""
        self._positions = {job: position for position, job in enumerate(jobs)}
        if not jobs:
            return
        self._latency = fit_latency(await self._results.latencies(SAMPLES))
        self._sizers.clear()
        kept_s: dict[str, float] = {}
        if not self._choices.run.force:
            kept_s = await self._kept_s(jobs)
        self._load = BatchLoad(
            tuple(max(0.0, job.to_hear_s - kept_s.get(job.fingerprint.sha256, 0.0)) for job in jobs)
        )

    def announce(self) -> None:
        """Say what is expected."""
        if not self._positions:
            return
        cuts = self._sizer().cuts(self._choices.concurrency, self._load)
        audio_s = sum(self._load.lengths_s)
        self._emit(events.BatchPlanned("", audio_s, cuts.chunks, cuts.makespan_s, self._latency))

    async def forecast(self, jobs: Sequence[Job]) -> BatchForecast:
        """What they would send, as far as their headers tell, and how long that would take."""
        forecasts = {job: await self._forecast_of(job) for job in jobs}
        to_send = [forecasts[job] for job in self._positions]
        expected_s = 0.0
        if to_send:
            expected_s = self._sizer().makespan_s(
                [(each.audio_s, each.chunks) for each in to_send], self._choices.concurrency
            )
        return BatchForecast(tuple(forecasts.values()), expected_s, self._latency.samples)

    async def _forecast_of(self, job: Job) -> Forecast:
        if job.cached:
            return Forecast(job.display_path, 0.0, 0, 0.0, "from the cache")
        size = self._size(job)
        kept_s = 0.0
        for channel in job.channels:
            kept_s += sum(each.span.duration_s for each in await self._kept(job, channel))
        left_s = max(0.0, job.to_hear_s - kept_s)
        chunks = pieces(left_s, size.duration_s)
        cost = left_s * self._choices.run.price_per_second
        return Forecast(job.display_path, left_s, chunks, cost, size.reason)

    async def plan(self, job: Job) -> tuple[Source, list[SplitPlan]]:
        """What to cut and how, channel by channel; stretches kept become outcomes of the job."""
        plans = [
            self._split_plan(job, channel, await self._take_kept(job, channel))
            for channel in job.channels
        ]
        return self._source(job), plans

    async def next_chunk(self, job: Job, cutting: Cutting) -> ChunkWork | None:
        """Cut one chunk; None after the last, or once the job has failed."""
        if job.failure is not None:
            return None
        begun_s = time.monotonic()
        chunk = await cutting.next()
        job.counted_s = cutting.counted_s
        if chunk is None:
            return None
        took_s = time.monotonic() - begun_s
        span = chunk.span
        job.reached_s = max(job.reached_s, span.end_s)
        self._emit(events.ChunkPrepared(job.display_path, span.index, span.duration_s, took_s))
        if job.failure is not None:
            chunk.upload.discard()
            return None
        job.pending += 1
        return ChunkWork(job, chunk)

    async def _take_kept(self, job: Job, channel: int) -> tuple[tuple[CutPoint, CutPoint], ...]:
        """Stretches whose words are there; the rest is planned around them."""
        kept = await self._kept(job, channel)
        for index, each in enumerate(kept):
            # The ledger has a channel's cuts apart, and not the channel.
            span = replace(each.span, channel=channel)
            job.reached_s = max(job.reached_s, span.end_s)
            known = await self._auditing.known(job, span, each.value.heard, each.chunk_key)
            if known is None:
                # It has words, and perhaps not all: it is cut once more, to be listened to.
                kept_there = replace(each, span=span)
                job.again[channel, span.start, span.end] = kept_there
                continue
            outcome = ChunkOutcome(span, known.heard, cached=True, gaps=known.gaps)
            job.outcomes.append(compress(outcome))
            self._report.from_cache += 1
            # A cut is found together with its answer, in the ledger.
            self._emit(events.CacheLookup(job.display_path, each.chunk_key, "L3"))
            self._emit(
                events.ChunkProcessingCompleted(job.display_path, index, each.span.duration_s, True)
            )
        ends = [(each.span.start, each.span.end) for each in kept]
        return tuple(each for each in ends if (channel, *each) not in job.again)

    async def _kept_s(self, jobs: Sequence[Job]) -> dict[str, float]:
        """By content, seconds that have their words; of all channels that are cut."""
        found: dict[str, float] = {}
        for channel in sorted({channel for job in jobs for channel in job.channels}):
            lengths = await self._results.kept_s(
                [job.fingerprint.sha256 for job in jobs if channel in job.channels],
                self._choices.chunking.audio_stream,
                self._addresser.cut_sha256(channel),
            )
            for sha256, length_s in lengths.items():
                found[sha256] = found.get(sha256, 0.0) + length_s
        return found

    async def _kept(self, job: Job, channel: int) -> tuple[StoredSpan, ...]:
        if self._choices.run.force:
            return ()
        return await self._results.kept(
            job.fingerprint.sha256,
            self._choices.chunking.audio_stream,
            self._addresser.cut_sha256(channel),
        )

    def _source(self, job: Job) -> Source:
        print_ = job.fingerprint
        return Source(
            print_.size_bytes,
            self._choices.chunking.audio_stream,
            path=job.candidates[0].path,
            state=FileState(print_.size_bytes, print_.mtime_ns, print_.inode),
        )

    def _split_plan(
        self, job: Job, channel: int, kept: tuple[tuple[CutPoint, CutPoint], ...]
    ) -> SplitPlan:
        assert job.file is not None
        size = self._size(job)
        return SplitPlan(
            target_s=size.duration_s,
            max_bytes=size.size_bytes,
            codec=upload_codec_for(job.file, self._choices.chunking.upload_codec, channel),
            declared_s=job.declared_s,
            max_piece_s=size.max_duration_s,
            kept=kept,
            channel=channel,
            exact=tuple((start, end) for of, start, end in job.again if of == channel),
        )

    def _size(self, job: Job) -> ChunkSizeRecommendation:
        assert job.file is not None
        load = replace(self._load, position=self._positions[job])
        return self._sizer().calculate_chunk_size(job.file, self._choices.concurrency, load)

    def _sizer(self) -> DynamicChunkSizer:
        """That of the engine as it is: it may find that answers come without timestamps."""
        kind = (self._engine.timestamps, self._engine.longest_s)
        if kind not in self._sizers:
            self._sizers[kind] = DynamicChunkSizer(
                self._choices.chunking,
                self._latency,
                timestamps=kind[0],
                longest_s=kind[1],
                requests_per_minute=self._choices.run.requests_per_minute,
                audio_s_per_minute=self._choices.run.audio_seconds_per_minute,
            )
        return self._sizers[kind]
