"""DynamicChunkSizer: chunks for as few requests as possible, with all lanes busy to the end."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from sttbatch.core.models import AudioFile, ConcurrencyLimit, LatencyModel
from sttbatch.core.options import API_BODY_LIMIT_BYTES, MIB, ChunkingOptions
from sttbatch.processing.media.upload_format import upload_bytes_per_second, upload_codec_for
from sttbatch.processing.scheduling.chunk_count_optimizer import BatchCuts, cut_batch, pieces
from sttbatch.processing.scheduling.latency_model import GUESS
from sttbatch.processing.scheduling.makespan import LaneCapacity, LaneSchedule

MIN_DURATION_S = 30.0
"""Whisper processes 30 s at a time; shorter chunks lose context and need more requests."""

MIN_DURATION_WITHOUT_TIMES_S = 10.0
MAX_DURATION_WITHOUT_TIMES_S = 30.0
"""A response without timestamps becomes one subtitle cue, so it must not last longer."""

EVEN_PIECES = 20
"""For up to so many equal chunks, `pieces` of their length returns exactly their number."""


class BatchLoad(Struct, frozen=True):
    """The audio that a whole batch has to send.

    Attributes:
        lengths_s: seconds of audio to send of each recording, in the order in which they run; the
            same tuple for every recording of a batch.
        position: of the current recording, counted from 0.
    """

    lengths_s: tuple[float, ...] = ()
    position: int = 0

    @property
    def left_s(self) -> float:
        """Seconds to send of the current recording."""
        return self.lengths_s[self.position] if self.position < len(self.lengths_s) else 0.0


class ChunkSizeRecommendation(Struct, frozen=True):
    """The advice of `DynamicChunkSizer` for one recording.

    Attributes:
        size_bytes: maximum size of a chunk's file.
        duration_s: target duration of a chunk.
        max_duration_s: maximum duration of a chunk; None: only its size is limited.
        estimated_duration_s: wall seconds to transcribe this recording alone, with all lanes.
        reason: the rule that decided.
    """

    size_bytes: int
    duration_s: float
    max_duration_s: float | None
    chunk_count: int
    estimated_duration_s: float
    reason: str


class DynamicChunkSizer:
    """Sizes the chunks of a batch; the latest decision is cached for the same load and lanes.

    Args:
        timestamps, longest_s: as in `Engine`.
        requests_per_minute: the rate limit; None: no limit.
        audio_s_per_minute: the rate limit on seconds of audio; None: no limit.
    """

    def __init__(
        self,
        options: ChunkingOptions,
        latency: LatencyModel = GUESS,
        *,
        timestamps: bool = True,
        longest_s: float | None = None,
        requests_per_minute: float | None = None,
        audio_s_per_minute: float | None = None,
    ) -> None:
        self._options = options
        self._latency = latency
        self._spacing_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._audio_spacing_s = 60.0 / audio_s_per_minute if audio_s_per_minute else 0.0
        self._longest = (longest_s, "the longest audio that the engine recognises well")
        shortest_s = MIN_DURATION_S
        if not timestamps:
            self._longest = (MAX_DURATION_WITHOUT_TIMES_S, "no timestamps in the answers")
            shortest_s = MIN_DURATION_WITHOUT_TIMES_S
        self._top = (options.target_duration_s, "the target duration")
        if self._longest[0] is not None:
            # The window for silence exceeds the target by up to 15 %.
            self._top = min(self._top, (0.8 * self._longest[0], self._longest[1]))
        # A target that the user set below the floor is respected.
        self._floor_s = min(shortest_s, self._top[0])
        self._decided: tuple[tuple[float, ...], int, BatchCuts] | None = None

    def calculate_chunk_size(
        self, file: AudioFile, concurrency: ConcurrencyLimit, load: BatchLoad
    ) -> ChunkSizeRecommendation:
        """The shortest duration of the size limits, the target and the balance of the lanes."""
        size_bytes, size_reason = self._size_limit(file)
        codec = upload_codec_for(file, self._options.upload_codec)
        by_size_s = size_bytes / upload_bytes_per_second(file, codec)
        duration_s, reason = min(
            (by_size_s, size_reason), self._top, self._share(file, concurrency, load)
        )
        count = max(1, pieces(file.duration_s, duration_s))
        return ChunkSizeRecommendation(
            size_bytes=size_bytes,
            duration_s=duration_s,
            max_duration_s=self._longest[0],
            chunk_count=count,
            estimated_duration_s=self.makespan_s([(file.duration_s, count)], concurrency),
            reason=reason,
        )

    def cuts(self, concurrency: ConcurrencyLimit, load: BatchLoad) -> BatchCuts:

        known = self._decided
        if known is None or known[0] is not load.lengths_s or known[1] != concurrency.value:
            lanes = self._lanes(concurrency)
            cuts = cut_batch(load.lengths_s, lanes, self._floor_s, self._top[0])
            known = self._decided = (load.lengths_s, concurrency.value, cuts)
        return known[2]

    def makespan_s(
        self, recordings: Iterable[tuple[float, int]], concurrency: ConcurrencyLimit
    ) -> float:
        """Wall seconds for recordings of (seconds of audio, equal chunks), in this order."""
        in_order = list(recordings)
        schedule = LaneSchedule(self._lanes(concurrency), len(in_order))
        for audio_s, chunks in in_order:
            schedule.add(audio_s, chunks)
        return schedule.makespan_s

    def _lanes(self, concurrency: ConcurrencyLimit) -> LaneCapacity:
        return LaneCapacity(
            concurrency.value, self._latency, self._spacing_s, self._audio_spacing_s
        )

    def _share(
        self, file: AudioFile, concurrency: ConcurrencyLimit, load: BatchLoad
    ) -> tuple[float, str]:
        """The length that keeps all lanes busy until the batch ends, and why."""
        target_s = self.cuts(concurrency, load).target_of(load.position)
        if target_s >= self._top[0]:
            return self._top
        count = pieces(load.left_s, target_s)
        if 1 < count <= EVEN_PIECES and load.left_s == file.duration_s:
            target_s = min(target_s, max(self._floor_s, load.left_s / count))
        if target_s == self._floor_s:
            return target_s, "the shortest that keeps context, so that all lanes end together"
        return target_s, "shorter than the target, so that all lanes end together"

    def _size_limit(self, file: AudioFile) -> tuple[int, str]:
        """The smallest of the size for this file, the user's limit and the API's, and its name.

        The sizes by file are those of the reference papers, without their minimum.
        """
        size_mib = file.size_bytes / MIB
        table_mib = 15 if size_mib < 50 else 20 if size_mib < 100 else 25
        return min(
            (table_mib * MIB, f"{table_mib} MiB for a file of {size_mib:.0f} MiB"),
            (self._options.max_chunk_bytes, "the largest chunk allowed"),
            (API_BODY_LIMIT_BYTES - MIB // 2, "the API's limit with headroom"),
        )
