"""ChunkPlanner: cuts recordings around stored spans, into chunks of the recommended size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from sttbatch.caching.cache_keys import ContentAddresser
from sttbatch.caching.result_cache import StoredSpan, stored_spans
from sttbatch.core import events
from sttbatch.core.engine import Engine
from sttbatch.core.models import CutPoint, LatencyModel
from sttbatch.core.ports import ChunkIndex, WorkLedger
from sttbatch.kinds.report import BatchForecast, Forecast
from sttbatch.kinds.transcription.gap_repair import GapRepair
from sttbatch.kinds.transcription.recording_job import ChunkWork, RecordingJob, RunState
from sttbatch.kinds.transcription.spec import RunConfig
from sttbatch.processing.media.media_messages import SplitPlan
from sttbatch.processing.media.media_workers import Cutting, MediaWorkers
from sttbatch.processing.media.upload_format import is_plain_wav, upload_codec_for
from sttbatch.processing.scheduling.chunk_count_optimizer import pieces
from sttbatch.processing.scheduling.chunk_sizer import (
    BatchLoad,
    ChunkSizeRecommendation,
    DynamicChunkSizer,
)
from sttbatch.processing.scheduling.latency_model import GUESS, SAMPLES, fit_latency
from sttbatch.processing.scheduling.orchestrator import NextChunk
from sttbatch.processing.transcript.result_merger import ChunkOutcome

GUESSED_BYTES_PER_S = 16_000.0
"""Of recordings that are not read yet, if none was: mp3 at 128 kbit/s."""


@dataclass(slots=True, eq=False)
class ChunkPlanner:
    """Plans recordings and cuts their chunks, after `expect` or `expect_next`.

    `beside_s` are the lengths of recordings of other runs that share the lanes, in seconds.
    """

    config: RunConfig
    engine: Engine
    spans: ChunkIndex
    ledger: WorkLedger
    addresser: ContentAddresser
    repair: GapRepair
    media: MediaWorkers
    emit: events.Emit
    beside_s: tuple[float, ...] = ()
    _loads: dict[RecordingJob, BatchLoad] = field(default_factory=dict, init=False)
    _lengths_s: tuple[float, ...] = field(default=(), init=False)
    _bytes_per_s: float = field(default=GUESSED_BYTES_PER_S, init=False)
    _latency: LatencyModel = field(default=GUESS, init=False)
    _sizers: dict[tuple[bool, float | None], DynamicChunkSizer] = field(
        default_factory=dict, init=False
    )

    async def expect(self, jobs: Sequence[RecordingJob], later: Iterable[int] = ()) -> None:
        """Compute the load of the batch, in the order in which it runs, and the latency model.

        `later` are the sizes in bytes of recordings that run afterwards, and are not read yet.
        """
        later = tuple(later)
        if not jobs and not later:
            return
        request = self.config.request
        samples = await self.ledger.latencies(request.engine, request.model, SAMPLES)
        self._latency = fit_latency(samples)
        self._sizers.clear()
        if declared_s := sum(job.billable_s for job in jobs):
            self._bytes_per_s = sum(job.fingerprint.size_bytes for job in jobs) / declared_s
        self._lengths_s = (*await self._to_send_s(jobs), *self._guessed_s(later), *self.beside_s)
        for position, job in enumerate(jobs):
            self._loads[job] = BatchLoad(self._lengths_s, position)

    async def expect_next(self, job: RecordingJob, later: Iterable[int]) -> None:
        """Compute the load as it is when one of the later recordings is read; `later` as above."""
        if job.billable_s:
            self._bytes_per_s = job.fingerprint.size_bytes / job.billable_s
        lengths_s = (*await self._to_send_s([job]), *self._guessed_s(later), *self.beside_s)
        self._loads[job] = BatchLoad(lengths_s)

    async def _to_send_s(self, jobs: Sequence[RecordingJob]) -> list[float]:
        stored_s = {} if self.config.run.force else await self._stored_s(jobs)
        return [
            max(0.0, job.billable_s - stored_s.get(job.fingerprint.sha256, 0.0)) for job in jobs
        ]

    def _guessed_s(self, sizes: Iterable[int]) -> list[float]:
        """The lengths of recordings, if they have the bit rate of those that were read."""
        return [size_bytes / self._bytes_per_s for size_bytes in sizes]

    def announce(self) -> int:
        """Emit the plan of the batch; returns its number of chunks."""
        if not self._lengths_s:
            return 0
        cuts = self._sizer().cuts(self.config.concurrency, BatchLoad(self._lengths_s))
        audio_s = sum(self._lengths_s)
        self.emit(events.BatchPlanned("", audio_s, cuts.chunks, cuts.makespan_s, self._latency))
        return cuts.chunks

    async def forecast(self, jobs: Sequence[RecordingJob]) -> BatchForecast:
        """Estimate, by their headers, what they would send and how long that would take."""
        forecasts = {job: await self._forecast_of(job) for job in jobs}
        to_send = [forecasts[job] for job in self._loads]
        expected_s = 0.0
        if to_send:
            expected_s = self._sizer().makespan_s(
                [(each.audio_s, each.chunks) for each in to_send], self.config.concurrency
            )
        return BatchForecast(tuple(forecasts.values()), expected_s, self._latency.samples)

    async def _forecast_of(self, job: RecordingJob) -> Forecast:
        if job.state is RunState.CACHED:
            return Forecast(job.display_path, 0.0, 0, 0.0, "from the cache")
        size = self._size(job)
        stored_s = 0.0
        for channel in job.channels:
            stored_s += sum(each.span.duration_s for each in await self._stored(job, channel))
        audio_s = max(0.0, job.billable_s - stored_s)
        chunks = pieces(audio_s, size.duration_s)
        cost = audio_s * self.config.run.price_per_second
        return Forecast(job.display_path, audio_s, chunks, cost, size.reason)

    @contextlib.asynccontextmanager
    async def cutting(self, job: RecordingJob) -> AsyncIterator[NextChunk[ChunkWork]]:
        """Reserve a media worker to cut a recording; yields a function that cuts the next chunk.

        Stored chunks become outcomes of the job; the rest is planned by channel.
        """
        plans = [
            self._split_plan(job, channel, await self._use_stored(job, channel))
            for channel in job.channels
        ]
        self._loads.pop(job)
        async with (
            job.reading() as source,
            self.media.split(source, *plans, urgency=job.priority) as cutting,
        ):
            job.advance(RunState.CUTTING)
            yield lambda: self._next_chunk(job, cutting)

    async def _next_chunk(self, job: RecordingJob, cutting: Cutting) -> ChunkWork | None:
        """Cut one chunk; None: there is none, or the job has failed."""
        if job.has_failed:
            return None
        begun_s = time.monotonic()
        chunk = await cutting.next()
        job.counted_s = cutting.counted_s
        if chunk is None:
            if job.state is RunState.CUTTING:
                job.advance(RunState.TRANSCRIBING)
            return None
        preparation_s = time.monotonic() - begun_s
        span = chunk.span
        job.reached_s = max(job.reached_s, span.end_s)
        self.emit(
            events.ChunkPrepared(job.display_path, span.index, span.duration_s, preparation_s)
        )
        if job.has_failed:
            chunk.upload.discard()
            return None
        job.pending += 1
        return ChunkWork(job, chunk)

    async def _use_stored(
        self, job: RecordingJob, channel: int
    ) -> tuple[tuple[CutPoint, CutPoint], ...]:
        """The spans whose words are stored and complete; they become outcomes of the job."""
        complete = []
        for index, stored in enumerate(await self._stored(job, channel)):
            # Cuts are stored by channel, without its number.
            span = replace(stored.span, channel=channel)
            job.reached_s = max(job.reached_s, span.end_s)
            stored_repair = await self.repair.stored_repair(
                job, span, stored.value.transcription, stored.chunk_key
            )
            if stored_repair is None:
                # Its words may be incomplete, so it is cut again to look for gaps.
                job.recheck[channel, span.start, span.end] = replace(stored, span=span)
                continue
            complete.append((span.start, span.end))
            outcome = ChunkOutcome(
                span, stored_repair.transcription, cached=True, gaps=stored_repair.gaps
            )
            job.outcomes.append(outcome.compressed())
            # Cuts are read from the ledger together with their answers.
            self.emit(events.CacheLookup(job.display_path, stored.chunk_key, "L3"))
            self.emit(
                events.ChunkProcessingCompleted(job.display_path, index, span.duration_s, True)
            )
        return tuple(complete)

    async def _stored_s(self, jobs: Sequence[RecordingJob]) -> dict[str, float]:
        """By content hash, the stored seconds of all channels that are cut."""
        stored_s: dict[str, float] = {}
        tracks = {(job.stream, channel) for job in jobs for channel in job.channels}
        for stream, channel in sorted(tracks):
            lengths = await self.spans.covered_s(
                [
                    job.fingerprint.sha256
                    for job in jobs
                    if channel in job.channels and job.stream == stream
                ],
                stream,
                self.addresser.cut_sha256(channel),
            )
            for sha256, length_s in lengths.items():
                stored_s[sha256] = stored_s.get(sha256, 0.0) + length_s
        return stored_s

    async def _stored(self, job: RecordingJob, channel: int) -> tuple[StoredSpan, ...]:
        if self.config.run.force:
            return ()
        return await stored_spans(
            self.spans,
            job.fingerprint.sha256,
            job.stream,
            self.addresser.cut_sha256(channel),
        )

    def _split_plan(
        self, job: RecordingJob, channel: int, stored: tuple[tuple[CutPoint, CutPoint], ...]
    ) -> SplitPlan:
        assert job.file is not None
        size = self._size(job)
        return SplitPlan(
            target_s=size.duration_s,
            max_bytes=size.size_bytes,
            codec=upload_codec_for(job.file, self.config.chunking.upload_codec, channel),
            declared_s=job.declared_s,
            max_piece_s=size.max_duration_s,
            kept=stored,
            channel=channel,
            exact=tuple((start, end) for of, start, end in job.recheck if of == channel),
            vad=self.config.run.vad,
            is_plain_wav=is_plain_wav(job.file),
        )

    def _size(self, job: RecordingJob) -> ChunkSizeRecommendation:
        assert job.file is not None
        return self._sizer().calculate_chunk_size(
            job.file, self.config.concurrency, self._loads[job]
        )

    def _sizer(self) -> DynamicChunkSizer:
        """The sizer for the engine's abilities, which change if its answers lack timestamps."""
        kind = (self.engine.timestamps, self.engine.longest_s)
        if kind not in self._sizers:
            self._sizers[kind] = DynamicChunkSizer(
                self.config.chunking,
                self._latency,
                timestamps=kind[0],
                longest_s=kind[1],
                requests_per_minute=self.config.run.requests_per_minute,
                audio_s_per_minute=self.config.run.audio_seconds_per_minute,
            )
        return self._sizers[kind]
