"""The diarization error rate."""

from __future__ import annotations

import pytest

from benchmarks.diarization import Turn, error_rate

DIALOGUE = [Turn(0, 10, "anna"), Turn(10, 20, "oleg"), Turn(19, 24, "anna")]


def test_names_of_speakers_do_not_matter() -> None:
    assert error_rate(DIALOGUE, [turn._replace(speaker=turn.speaker[1:]) for turn in DIALOGUE]) == 0


def test_the_collar_forgives_edges() -> None:
    moved = [Turn(0, 10.2, "1"), Turn(10.2, 20, "2"), Turn(19, 24, "1")]
    assert error_rate(DIALOGUE, moved) == 0
    assert error_rate(DIALOGUE, moved, collar_s=0) == pytest.approx(0.2 / 25)


def test_missed_false_and_confused_speech_count() -> None:
    # The overlap is missed: 1 of 25 s.
    assert error_rate(
        DIALOGUE, [Turn(0, 10, "1"), Turn(10, 20, "2"), Turn(20, 24, "1")], collar_s=0
    ) == pytest.approx(1 / 25)
    # One speaker for all: 9 s are confused, and of 1 s of overlap one speaker is missed.
    assert error_rate(DIALOGUE, [Turn(0, 24, "1")], collar_s=0) == pytest.approx(10 / 25)
    # Speech where there is none.
    assert error_rate(DIALOGUE, [*DIALOGUE, Turn(24, 29, "oleg")], collar_s=0) == pytest.approx(0.2)


def test_more_speakers_than_there_are() -> None:
    found = [Turn(0, 10, "1"), Turn(10, 20, "2"), Turn(19, 24, "3")]
    assert error_rate(DIALOGUE, found, collar_s=0) == pytest.approx(5 / 25)
