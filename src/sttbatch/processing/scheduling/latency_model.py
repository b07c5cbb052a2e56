"""How long an answer takes, as a line through what earlier requests took.

The slope is the weighted median of the slopes between all pairs of requests, each weighted with
how far apart their lengths are (Theil 1950 and Sen 1968 without, Sievers 1978 with weights): up to
about a quarter of the requests may have hung, queued or hit a cold server without moving it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, combinations
from statistics import median, quantiles

from sttbatch.core.models import LatencyModel

# A chunk of 3 minutes was reported to take 20 to 40 s, a short note 2 to 6 s.
ANSWER_BASE_S = 2.0
ANSWER_PER_AUDIO_S = 0.15
GUESS = LatencyModel(ANSWER_BASE_S, ANSWER_PER_AUDIO_S, samples=0)
"""Until anything has been sent."""

SAMPLES = 200
"""The latest requests that count: an afternoon's, and few enough to compare all pairs."""

ENOUGH_SAMPLES = 5
ENOUGH_SPREAD = 0.25
"""Between the shortest and longest tenth, as a share of the median length; chunks of one target
length differ by less, and a slope between them would be noise."""


_ABSURD_S = 1e9

FIXED_SHARE = 0.2
"""Of an answer, while the base is not known: shorter chunks than are worth it would cost requests,
longer ones only little time."""


def fit_latency(samples: Iterable[tuple[float, float]]) -> LatencyModel:
    """Fit pairs of (seconds of audio, seconds until its answer).

    Too few samples, or samples of one length, cannot tell the base from the slope: then it is
    `GUESS`, scaled so that half of them took longer; with none at all it is `GUESS`.
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
    """Through the median, with a base of `FIXED_SHARE` at least."""
    scale = median(latency_s / GUESS.answer_s(audio_s) for audio_s, latency_s in samples)
    audio_s = median(audio_s for audio_s, _ in samples)
    answer_s = scale * GUESS.answer_s(audio_s)
    base_s = max(scale * GUESS.base_s, FIXED_SHARE * answer_s)
    return LatencyModel(base_s, (answer_s - base_s) / audio_s, len(samples))


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    """The weighted median over all pairs of different lengths, of which there is one."""
    slopes = sorted(
        ((late - early) / (long - short), long - short)
        for (short, early), (long, late) in combinations(sorted(samples), 2)
        if long > short
    )
    weights = list(accumulate(weight for _, weight in slopes))
    return slopes[bisect_left(weights, weights[-1] / 2)][0]
