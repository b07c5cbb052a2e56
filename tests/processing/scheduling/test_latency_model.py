"""The line is found through noise, outliers and too little of anything."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttbatch.processing.scheduling.latency_model import FIXED_SHARE, GUESS, SAMPLES, fit_latency


def noisy(
    base_s: float, per_audio_s: float, *, outliers: float = 0.0, count: int = SAMPLES
) -> list[tuple[float, float]]:
    """Chunks of 20 to 310 s, a tenth of noise, and some that took ten times as long."""
    dice = random.Random(4)
    found = []
    for _ in range(count):
        audio_s = dice.uniform(20, 310)
        latency_s = (base_s + per_audio_s * audio_s) * dice.gauss(1, 0.1)
        found.append((audio_s, latency_s * (10 if dice.random() < outliers else 1)))
    return found


@pytest.mark.parametrize("outliers", [0.0, 0.15])
@pytest.mark.parametrize(("base_s", "per_audio_s"), [(0.3, 0.004), (2.0, 0.15), (5.0, 0.01)])
def test_the_line_is_recovered(base_s: float, per_audio_s: float, outliers: float) -> None:
    found = fit_latency(noisy(base_s, per_audio_s, outliers=outliers))
    for audio_s in (60.0, 150.0, 300.0):
        assert found.answer_s(audio_s) == pytest.approx(base_s + per_audio_s * audio_s, rel=0.15)
    assert found.per_audio_s == pytest.approx(per_audio_s, rel=0.2)
    assert found.samples == SAMPLES


def test_hours_of_one_length_and_a_few_others_still_tell_the_slope() -> None:
    dice = random.Random(1)
    lengths = [dice.uniform(290, 310) for _ in range(150)] + [60.0] * 25
    found = fit_latency([(each, 1.0 + 0.01 * each + dice.gauss(0, 0.1)) for each in lengths])
    assert found.per_audio_s == pytest.approx(0.01, rel=0.1)


def test_nothing_yet_is_a_guess() -> None:
    assert fit_latency([]) == GUESS
    assert fit_latency([(0.0, 1.0), (60.0, 0.0), (math.nan, 1.0), (60.0, math.inf)]) == GUESS


def test_one_length_goes_through_the_median_with_a_base_that_shorter_chunks_would_pay() -> None:
    found = fit_latency([(300.0, latency_s) for latency_s in (1.4, 1.5, 1.5, 1.6, 80.0, 1.5)])
    assert found.answer_s(300.0) == pytest.approx(1.5)
    assert found.base_s == pytest.approx(FIXED_SHARE * 1.5)
    assert found.samples == 6


def test_a_handful_scales_the_guess_too() -> None:
    found = fit_latency([(20.0, 2.5), (20.0, 2.5)])
    assert found.base_s / found.per_audio_s == pytest.approx(GUESS.base_s / GUESS.per_audio_s)
    assert found.samples == 2


@given(st.lists(st.tuples(st.floats(), st.floats()), max_size=40))
def test_any_history_gives_a_model(samples: list[tuple[float, float]]) -> None:
    found = fit_latency(samples)
    assert found.base_s >= 0
    assert found.per_audio_s >= 0
    assert found.samples <= len(samples)
