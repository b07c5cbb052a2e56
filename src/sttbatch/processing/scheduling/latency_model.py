"""Fits the latency of responses as a line over the seconds of audio.

The slope is the weighted median of the slopes between all pairs of requests, weighted by the
difference of their lengths (Theil 1950 and Sen 1968 without, Sievers 1978 with weights): up to
about a quarter of the requests may be outliers without moving it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate, combinations
from statistics import fmean, linear_regression, median, quantiles

from msgspec import Struct

from sttbatch.core.models import LatencyModel

# Chunks of 3 minutes were reported to take 20 to 40 s, short notes 2 to 6 s.
GUESS = LatencyModel(base_s=2.0, per_audio_s=0.15, samples=0)
"""The model before the first request."""

SAMPLES = 200
"""The number of latest requests that count, few enough to compare all pairs."""

ENOUGH_SAMPLES = 5
ENOUGH_SPREAD = 0.25
"""The minimum distance of the shortest and longest tenth, as a share of the median length. Chunks
of one target differ by less, so that their slope would be noise."""

_ABSURD_S = 1e9

FIXED_SHARE = 0.2
"""The base's share of a latency while it is unknown. If it is too small, chunks are too short and
need more requests; if it is too large, longer chunks need little more time."""


class LatencySample(Struct, frozen=True):
    """The latency of one response, and the seconds of audio that it was for."""

    latency_s: float
    audio_s: float


def fit_latency(samples: Iterable[tuple[float, float]]) -> LatencyModel:
    """Fit pairs of (seconds of audio, latency in seconds).

    Too few samples, or samples of one length, do not determine the slope: then the model is a line
    through their median; without samples it is `GUESS`.
    """
    usable = [
        (audio_s, latency_s)
        for audio_s, latency_s in samples
        if 0 < audio_s < _ABSURD_S and 0 < latency_s < _ABSURD_S
    ]
    if not usable:
        return GUESS
    if len(usable) < ENOUGH_SAMPLES or not _is_spread([audio_s for audio_s, _ in usable]):
        return _scaled_guess(usable)
    per_audio_s = max(0.0, _slope(usable))
    base_s = median(latency_s - per_audio_s * audio_s for audio_s, latency_s in usable)
    if base_s < 0:
        per_audio_s = median(latency_s / audio_s for audio_s, latency_s in usable)
        base_s = 0.0
    return LatencyModel(base_s, per_audio_s, len(usable))


def _is_spread(lengths: Sequence[float]) -> bool:
    tenths = quantiles(lengths, n=10, method="inclusive")
    return tenths[-1] - tenths[0] >= ENOUGH_SPREAD * median(lengths)


def _scaled_guess(samples: Sequence[tuple[float, float]]) -> LatencyModel:
    """`GUESS` scaled through the median, with a base of at least `FIXED_SHARE`."""
    scale = median(latency_s / GUESS.answer_s(audio_s) for audio_s, latency_s in samples)
    audio_s = median(audio_s for audio_s, _ in samples)
    answer_s = scale * GUESS.answer_s(audio_s)
    base_s = max(scale * GUESS.base_s, FIXED_SHARE * answer_s)
    return LatencyModel(base_s, (answer_s - base_s) / audio_s, len(samples))


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    """The weighted median over all pairs of different lengths; there is at least one such pair."""
    slopes = sorted(
        ((late - early) / (long - short), long - short)
        for (short, early), (long, late) in combinations(sorted(samples), 2)
        if long > short
    )
    weights = list(accumulate(weight for _, weight in slopes))
    return slopes[bisect_left(weights, weights[-1] / 2)][0]


def slowdown(samples: Collection[LatencySample], known: Collection[LatencySample]) -> float | None:
    """The ratio of the latencies of `samples` to those expected by the `known` ones.

    These are fitted by least squares: latency = a + b x audio, with a and b not negative. None:
    there are no samples to compare.
    """
    if not samples or not known:
        return None
    audio_s, latency_s = [one.audio_s for one in known], [one.latency_s for one in known]
    mean_audio_s, mean_latency_s = fmean(audio_s), fmean(latency_s)
    differ = max(audio_s) > min(audio_s)
    fitted = linear_regression(audio_s, latency_s).slope if differ else 0.0
    # Outside of [0, mean / mean] one of the two would be negative.
    steepest = mean_latency_s / mean_audio_s if mean_audio_s > 0 else 0.0
    slope = min(max(fitted, 0.0), steepest)
    expected_s = sum(mean_latency_s + slope * (one.audio_s - mean_audio_s) for one in samples)
    return sum(one.latency_s for one in samples) / expected_s if expected_s > 0 else None
