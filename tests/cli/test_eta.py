"""The time left follows the plan at first, and then what is seen."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from sttbatch.cli.console.progress_bars import EtaEstimator, ProgressBars
from sttbatch.core import events
from sttbatch.core.models import LatencyModel

LATENCY = LatencyModel(2.0, 0.1, 20)


@dataclass
class Run:
    """Chunks of 100 s (12 s by the model) of one recording on 2 lanes; time is moved by hand."""

    chunks: int = 8
    now: float = 1000.0
    left: EtaEstimator = field(init=False)

    def __post_init__(self) -> None:
        self.left = EtaEstimator(lambda: self.now)
        self.left.follow(events.JobQueued("a", self.chunks * 100.0))
        audio_s = self.chunks * 100.0
        self.left.follow(
            events.BatchPlanned("", audio_s, self.chunks, self.chunks / 2 * 12.0, LATENCY)
        )

    def round(self, first: int, answer_s: float, *, cached: bool = False) -> None:
        for index in (first, first + 1):
            self.left.follow(events.ChunkProcessingStarted("a", index, 100.0))
        self.now += answer_s
        for index in (first, first + 1):
            self.left.follow(events.ChunkProcessingCompleted("a", index, 100.0, cached))


def test_there_is_none_before_there_is_a_plan() -> None:
    assert EtaEstimator().seconds() is None


def test_until_the_first_answer_the_plan_says_it() -> None:
    run = Run()
    assert run.left.seconds() == 48.0
    run.now += 100
    assert run.left.seconds() == 48.0, "what comes before the first chunk is no part of it"
    run.left.follow(events.ChunkProcessingStarted("a", 0, 100.0))
    run.now += 10
    assert run.left.seconds() == 38.0
    run.now += 100
    assert run.left.seconds() == 0.0


@pytest.mark.parametrize("answer_s", [1.0, 12.0, 60.0])
def test_what_is_seen_corrects_it(answer_s: float) -> None:
    run = Run()
    run.round(0, answer_s)
    assert run.left.seconds() == pytest.approx(3 * answer_s)
    for index in (2, 3):
        run.left.follow(events.ChunkProcessingStarted("a", index, 100.0))
    run.now += answer_s / 2
    assert run.left.seconds() == pytest.approx(2.5 * answer_s)
    run.now += answer_s / 2
    assert run.left.seconds() == pytest.approx(2 * answer_s)
    run.now += answer_s
    assert run.left.seconds() == pytest.approx(3 * answer_s), "they take longer than those before"


def test_what_is_not_sent_takes_no_time() -> None:
    run = Run()
    run.round(0, 10.0)
    run.round(2, 0.0, cached=True)
    assert run.left.seconds() == pytest.approx(20.0)
    run.left.follow(events.ChunkProcessingCompleted("b", 0, 300.0, True))
    assert run.left.seconds() == pytest.approx(20.0), "kept from an earlier run, and not planned"
    run.left.follow(events.JobFailed("a", 800.0, "its disk is gone"))
    assert run.left.seconds() == pytest.approx(0.0, abs=1e-9)


def test_the_bar_of_the_batch_shows_it() -> None:
    seen = io.StringIO()
    bars = ProgressBars(Console(file=seen, force_terminal=True, width=100, color_system=None))
    bars.start()
    bars.follow(events.JobQueued("batch", 600.0))
    bars.follow(events.BatchPlanned("", 600.0, 2, 3723.0, LATENCY))
    bars.follow(events.JobStarted("batch", "id"))
    bars.stop()
    *_, batch, recording, _ = seen.getvalue().splitlines()
    assert "1:02:03 left" in batch
    assert recording.startswith("batch")
    assert "left" not in recording


def test_the_bar_of_a_recording_is_gone_when_it_is_transcribed() -> None:
    seen = io.StringIO()
    bars = ProgressBars(Console(file=seen, force_terminal=True, width=100, color_system=None))
    bars.start()
    for name in ("one", "other"):
        bars.follow(events.JobQueued(name, 600.0))
        bars.follow(events.JobStarted(name, "id"))
        bars.follow(events.ChunkProcessingCompleted(name, 0, 600.0, False))
        bars.follow(events.TranscriptMerged(name, 0.1))
    bars.follow(events.JobStarted("one", "id"))
    bars.stop()
    *_, batch, recording, _ = seen.getvalue().splitlines()
    assert "batch" in batch
    assert recording.startswith("one")


def test_pieces_of_gap_repair_move_no_bar() -> None:
    seen = io.StringIO()
    bars = ProgressBars(Console(file=seen, force_terminal=True, width=100, color_system=None))
    bars.start()
    for event in (
        events.JobQueued("talk", 600.0),
        events.JobStarted("talk", "id"),
        events.ChunkProcessingCompleted("talk", 0, 300.0, False),
        events.ChunkProcessingCompleted("talk", 0, 150.0, False, "gap-1"),
        events.ChunkProcessingFailed("talk", 0, 150.0, "500", "gap-2"),
    ):
        bars.follow(event)
    bars.stop()
    *_, batch, recording, _ = seen.getvalue().splitlines()
    assert "5:00/10:00" in batch
    assert "5:00/10:00" in recording
