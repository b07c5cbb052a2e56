"""LaneSchedule: the makespan of a batch whose chunks take the first free lane in order."""

from __future__ import annotations

import heapq
from copy import copy

from msgspec import Struct

from sttbatch.core.models import LatencyModel

CUT_PER_AUDIO_S = 0.0005
"""Seconds of cutting per second of audio; an hour of mp3 takes 1.9 s (benchmarks/prepare.py)."""


class LaneCapacity(Struct, frozen=True):
    """The lanes and cutters of a batch, and their limits.

    Attributes:
        spacing_s: seconds between two requests by the rate limit; 0: no limit.
        spacing_per_audio_s: seconds until the next request by the limit on audio, per second of
            audio in a request; 0: no limit.
        cutters: maximum number of recordings that are cut at the same time.
    """

    count: int
    latency: LatencyModel
    spacing_s: float = 0.0
    spacing_per_audio_s: float = 0.0
    cutters: int = 2


class LaneSchedule:
    """List scheduling (Graham 1969) of chunks, which start after they are cut.

    `chunks` were scheduled so far, and take `work_s` lane seconds.
    """

    def __init__(self, lanes: LaneCapacity, recordings: int) -> None:
        self._lanes = lanes
        self._cut_per_audio_s = CUT_PER_AUDIO_S / max(1, min(lanes.cutters, recordings))
        self._free_s = [0.0] * lanes.count
        self._cut_s = 0.0
        # When the rate limits admit the last chunk and the next one.
        self._slot_s = self._next_slot_s = 0.0
        self.chunks = 0
        self.work_s = 0.0

    @property
    def makespan_s(self) -> float:
        """Seconds until the last response."""
        return max(self._free_s)

    @property
    def bound_s(self) -> float:
        """A lower bound in seconds, for any assignment of these chunks to lanes."""
        return max(self.work_s / self._lanes.count, self._cut_s, self._slot_s)

    def copy(self) -> LaneSchedule:
        other = copy(self)
        other._free_s = self._free_s.copy()  # noqa: SLF001 - it is one of ours
        return other

    def add(self, audio_s: float, chunks: int) -> None:
        """Append a recording, cut into so many equal chunks."""
        if not chunks:
            return
        chunk_s = audio_s / chunks
        latency_s = self._lanes.latency.answer_s(chunk_s)
        free_s, spacing_s = self._free_s, self._spacing_s(audio_s, chunks) / chunks
        cut_s, slot_s = self._cut_s, self._next_slot_s
        cut_a_chunk_s = self._cut_per_audio_s * chunk_s
        for _ in range(chunks):
            cut_s += cut_a_chunk_s
            heapq.heapreplace(free_s, max(free_s[0], cut_s, slot_s) + latency_s)
            slot_s += spacing_s
        self._cut_s, self._slot_s, self._next_slot_s = cut_s, slot_s - spacing_s, slot_s
        self.chunks += chunks
        self.work_s += chunks * latency_s

    def add_evenly(self, audio_s: float, chunks: int) -> None:
        """Append many chunks, whose assignment to lanes makes no difference."""
        if not chunks:
            return
        lanes = self._lanes
        work_s = chunks * lanes.latency.base_s + audio_s * lanes.latency.per_audio_s
        self._cut_s += self._cut_per_audio_s * audio_s
        spacing_s = self._spacing_s(audio_s, chunks)
        self._next_slot_s += spacing_s
        self._slot_s = self._next_slot_s - spacing_s / chunks
        level_s = max(sum(self._free_s) / lanes.count + work_s / lanes.count, self._cut_s)
        self._free_s = [max(level_s, self._slot_s)] * lanes.count
        self.chunks += chunks
        self.work_s += work_s

    def _spacing_s(self, audio_s: float, chunks: int) -> float:
        """Seconds that the stricter rate limit needs for these chunks."""
        return max(chunks * self._lanes.spacing_s, audio_s * self._lanes.spacing_per_audio_s)
