"""How long chunks should be: as few requests as possible, but every lane busy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sttbatch.core.models import AudioFile, ConcurrencyLimit
from sttbatch.core.options import API_BODY_LIMIT_BYTES, MIB, ChunkingOptions
from sttbatch.processing.upload_format import upload_bytes_per_second, upload_codec_for

MIN_DURATION_S = 30.0
"""Whisper hears 30 s at a time; shorter chunks lose context and cost more requests."""

MIN_DURATION_WITHOUT_TIMES_S = 10.0
MAX_DURATION_WITHOUT_TIMES_S = 30.0
"""An answer without timestamps becomes one subtitle cue, so it must not last longer."""

# Documented defaults until latencies have been measured: a chunk of 3 minutes was reported to take
# 20 to 40 s, a short note 2 to 6 s.
ANSWER_BASE_S = 2.0
ANSWER_PER_AUDIO_S = 0.15


@dataclass(frozen=True, slots=True)
class BatchLoad:
    """What else the batch holds: seconds of audio to send, this recording included."""

    audio_s: float
    recordings: int = 1


@dataclass(frozen=True, slots=True)
class ChunkSizeRecommendation:
    """What `DynamicChunkSizer` advises for one recording.

    Attributes:
        size_bytes: no chunk's file should be larger.
        duration_s: what a chunk should last.
        max_duration_s: what it may last at most; None: only its size counts.
        estimated_duration_s: wall seconds to transcribe this recording with all lanes its own.
        reason: which rule decided.
    """

    size_bytes: int
    duration_s: float
    max_duration_s: float | None
    chunk_count: int
    estimated_duration_s: float
    reason: str


class DynamicChunkSizer:
    """Stateless; one per run.

    Args:
        timestamps: whether answers say when things were said.
        longest_s: what the engine hears best at a time; None: it takes any length.
    """

    def __init__(
        self, options: ChunkingOptions, *, timestamps: bool = True, longest_s: float | None = None
    ) -> None:
        self._options = options
        self._timestamps = timestamps
        self._longest = (longest_s, "what the engine hears at a time")
        if not timestamps:
            self._longest = (MAX_DURATION_WITHOUT_TIMES_S, "no timestamps in the answers")

    def calculate_chunk_size(
        self, file: AudioFile, concurrency: ConcurrencyLimit, load: BatchLoad
    ) -> ChunkSizeRecommendation:
        """The smallest of what the size table, the API, the target and idle lanes allow."""
        size_bytes, size_reason = self._size_limit(file)
        codec = upload_codec_for(file, self._options.upload_codec)
        by_size_s = size_bytes / upload_bytes_per_second(file, codec)
        limits = [
            (self._options.target_duration_s, "the target duration"),
            (by_size_s, size_reason),
            self._lanes_busy(concurrency, load),
        ]
        max_duration_s, longest_reason = self._longest
        if max_duration_s is not None:
            # The window for silence reaches past the target by up to 15 %.
            limits.append((0.8 * max_duration_s, longest_reason))
        duration_s, reason = min(limits)
        count = max(1, math.ceil(file.duration_s / (duration_s * 1.05)))
        return ChunkSizeRecommendation(
            size_bytes=size_bytes,
            duration_s=duration_s,
            max_duration_s=max_duration_s,
            chunk_count=count,
            estimated_duration_s=self.estimate_s(file.duration_s, count, concurrency),
            reason=reason,
        )

    def estimate_s(self, audio_s: float, chunks: int, concurrency: ConcurrencyLimit) -> float:
        """Wall seconds for `audio_s` in `chunks` equal chunks over all lanes."""
        if not chunks:
            return 0.0
        rounds = math.ceil(chunks / concurrency.value)
        return rounds * (ANSWER_BASE_S + ANSWER_PER_AUDIO_S * audio_s / chunks)

    def _size_limit(self, file: AudioFile) -> tuple[int, str]:
        """The table of the design papers by file size, within the user's and the API's limits."""
        size_mib = file.size_bytes / MIB
        table_mib = 15 if size_mib < 50 else 20 if size_mib < 100 else 25
        return min(
            (table_mib * MIB, f"{table_mib} MiB for a file of {size_mib:.0f} MiB"),
            (self._options.max_chunk_bytes, "the largest chunk allowed"),
            (API_BODY_LIMIT_BYTES - MIB // 2, "the API's limit with headroom"),
        )

    def _lanes_busy(self, concurrency: ConcurrencyLimit, load: BatchLoad) -> tuple[float, str]:
        shortest = MIN_DURATION_S if self._timestamps else MIN_DURATION_WITHOUT_TIMES_S
        # A target that the user set below the floor is kept: it is theirs to choose.
        shortest = min(shortest, self._options.target_duration_s)
        share_s = load.audio_s / concurrency.value
        if share_s < shortest:
            return shortest, "a small batch on idle lanes, at the shortest that keeps context"
        return share_s, "a small batch shared between all lanes"
