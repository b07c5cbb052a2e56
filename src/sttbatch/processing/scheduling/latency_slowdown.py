"""Latencies of requests for different lengths of audio, made comparable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer: seconds it took, for seconds of audio."""

    latency_s: float
    audio_s: float


def slowdown(samples: Collection[Sample], known: Collection[Sample]) -> float | None:
    """How many times as long `samples` took as `known` ones of the same length would have.

    Least squares over `known`: latency = a + b x audio, neither below zero. None: too few tell.
    """
    if not samples or not known:
        return None
    mean_latency_s = sum(each.latency_s for each in known) / len(known)
    mean_audio_s = sum(each.audio_s for each in known) / len(known)
    spread = sum((each.audio_s - mean_audio_s) ** 2 for each in known)
    together = sum(
        (each.audio_s - mean_audio_s) * (each.latency_s - mean_latency_s) for each in known
    )
    # Within [0, mean / mean]: outside, one of the two would be negative.
    steepest = mean_latency_s / mean_audio_s if mean_audio_s > 0 else 0.0
    slope = min(max(together / spread, 0.0), steepest) if spread > 0 else 0.0
    expected_s = sum(mean_latency_s + slope * (each.audio_s - mean_audio_s) for each in samples)
    return sum(each.latency_s for each in samples) / expected_s if expected_s > 0 else None
