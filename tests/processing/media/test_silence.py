"""Where a window is cut."""

from __future__ import annotations

import numpy as np
import pytest

from sttbatch.processing.media.silence import (
    DIGITAL_SILENCE_PEAK,
    SAMPLE_RATE,
    find_cut,
    is_digital_silence,
)


def sound(*parts: tuple[float, float]) -> bytes:
    """(seconds, amplitude of 1.0) after one another, as noise that is always the same."""
    generator = np.random.default_rng(1)
    pieces = [
        generator.uniform(-1, 1, round(length_s * SAMPLE_RATE)) * amplitude * 32_767
        for length_s, amplitude in parts
    ]
    return np.concatenate(pieces).astype("<i2").tobytes()


def test_the_middle_of_the_longest_silence() -> None:
    point = find_cut(sound((2, 0.3), (0.4, 0), (2, 0.3), (0.8, 0), (1, 0.3)))
    assert point.silent
    assert point.offset_s == pytest.approx(4.8, abs=0.02)


def test_the_later_of_two_alike() -> None:
    point = find_cut(sound((1, 0.3), (0.5, 0), (1, 0.3), (0.5, 0), (1, 0.3)))
    assert point.offset_s == pytest.approx(2.75, abs=0.02)


@pytest.mark.parametrize(("lead_s", "at_s"), [(0.0, 1.2), (0.1, 1.2), (0.3, 1.3), (0.6, 1.32)])
def test_what_is_taken_along_in_front_stays_in_the_silence(lead_s: float, at_s: float) -> None:
    """But the next word keeps some silence before it."""
    point = find_cut(sound((1, 0.3), (0.4, 0), (1, 0.3)), lead_s)
    assert point.offset_s == pytest.approx(at_s, abs=0.015)


@pytest.mark.parametrize(("quiet", "silent"), [(0.01, True), (0.03, True), (0.1, False)])
def test_silence_is_relative_to_the_window(quiet: float, silent: bool) -> None:
    """16 dB below the window's own level: room noise counts as silence, soft speech does not."""
    assert find_cut(sound((2, 0.3), (0.5, quiet), (2, 0.3))).silent is silent


def test_a_short_pause_is_no_silence() -> None:
    """A stop consonant must not be taken for the end of a word."""
    point = find_cut(sound((2, 0.3), (0.2, 0), (2, 0.3)))
    assert not point.silent
    assert 2.0 <= point.offset_s <= 2.2


def test_without_any_pause_the_quietest_point() -> None:
    point = find_cut(sound((1, 0.3), (0.06, 0.2), (2, 0.3)))
    assert not point.silent
    assert point.offset_s == pytest.approx(1.03, abs=0.02)


def test_a_window_of_digital_silence_is_cut_at_its_end() -> None:
    assert find_cut(bytes(32_000)).offset_s == 1.0
    assert find_cut(bytes(32_000)).silent


@pytest.mark.parametrize("length", [2, 200, 2000])
def test_a_window_of_hardly_any_samples(length: int) -> None:
    point = find_cut(sound((length / 2 / SAMPLE_RATE, 0.3)))
    assert 0 <= point.offset_s <= 0.1


def test_digital_silence_is_below_60_decibels() -> None:
    below = np.full(100, DIGITAL_SILENCE_PEAK - 1, "<i2").tobytes()
    above = np.full(100, DIGITAL_SILENCE_PEAK, "<i2").tobytes()
    assert is_digital_silence(below)
    assert is_digital_silence(b"")
    assert not is_digital_silence(above)
