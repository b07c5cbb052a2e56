"""A simulated schedule is a real one, and cutting by it never makes a batch later."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttbatch.core.models import LatencyModel
from sttbatch.processing.scheduling.chunk_count_optimizer import (
    SIMULATED_CHUNKS,
    WORTH_A_REQUEST,
    cut_batch,
    pieces,
)
from sttbatch.processing.scheduling.makespan import CUT_PER_AUDIO_S, LaneCapacity, LaneSchedule

FAST = LatencyModel(0.3, 0.004, 50)


def scheduled(lengths: list[float], lanes: LaneCapacity, target_s: float) -> LaneSchedule:
    schedule = LaneSchedule(lanes, len(lengths))
    for each in lengths:
        schedule.add(each, pieces(each, target_s))
    return schedule


def test_one_round_after_another() -> None:
    """The second chunk waits for its cut, the third for the first lane."""
    schedule = LaneSchedule(LaneCapacity(2, LatencyModel(10.0, 0.0, 1)), 1)
    schedule.add(900.0, 3)
    cut_s = 300 * CUT_PER_AUDIO_S
    assert schedule.makespan_s == pytest.approx(cut_s + 20.0)
    assert (schedule.chunks, schedule.work_s) == (3, 30.0)


def test_two_recordings_are_cut_at_the_same_time() -> None:
    lanes = LaneCapacity(8, LatencyModel(0.0, 0.0, 1))
    one, two = LaneSchedule(lanes, 1), LaneSchedule(lanes, 2)
    one.add(600.0, 2)
    two.add(300.0, 1)
    two.add(300.0, 1)
    assert two.makespan_s == pytest.approx(one.makespan_s / 2)


def test_a_rate_limit_spaces_what_lanes_could_send() -> None:
    schedule = LaneSchedule(LaneCapacity(10, LatencyModel(1.0, 0.0, 1), spacing_s=2.0), 1)
    schedule.add(100.0, 10)
    assert schedule.makespan_s == pytest.approx(9 * 2.0 + 1.0)


def test_a_limit_on_audio_spaces_requests_by_what_they_carry() -> None:
    lanes = LaneCapacity(10, LatencyModel(1.0, 0.0, 1), spacing_s=2.0, spacing_per_audio_s=0.1)
    schedule = LaneSchedule(lanes, 1)
    schedule.add(100.0, 2)
    schedule.add(10.0, 1)
    schedule.add(10.0, 1)
    assert schedule.makespan_s == pytest.approx(5.0 + 5.0 + 2.0 + 1.0)
    assert schedule.bound_s == pytest.approx(12.0)
    evenly = LaneSchedule(lanes, 1)
    evenly.add_evenly(100.0, 2)
    assert evenly.bound_s == pytest.approx(5.0)


@given(
    lengths=st.lists(st.floats(0, 20_000), max_size=40),
    count=st.integers(1, 10),
    base_s=st.floats(0.001, 100),
    per_audio_s=st.floats(0, 1),
)
def test_the_decision_is_never_later_than_the_target(
    lengths: list[float], count: int, base_s: float, per_audio_s: float
) -> None:
    lanes = LaneCapacity(count, LatencyModel(base_s, per_audio_s, 9))
    lengths.sort(reverse=True)
    cuts = cut_batch(lengths, lanes, 30.0, 300.0)
    plain = scheduled(lengths, lanes, 300.0)
    if plain.chunks <= SIMULATED_CHUNKS:
        assert cuts.makespan_s <= plain.makespan_s * WORTH_A_REQUEST + 1e-9
    found = LaneSchedule(lanes, len(lengths))
    for position, each in enumerate(lengths):
        found.add(each, pieces(each, cuts.target_of(position)))
    assert found.chunks == cuts.chunks
    longest_s = lanes.latency.answer_s(315.0)
    assert found.makespan_s == pytest.approx(cuts.makespan_s, abs=longest_s + 0.2)


@pytest.mark.parametrize("lanes", [2, 4, 8, 10])
def test_full_rounds_are_close_to_the_bound_where_answers_take_longer_than_cuts(
    lanes: int,
) -> None:
    slow = LaneCapacity(lanes, LatencyModel(2.0, 0.15, 0))
    lengths = [2100.0, 1980.0, 1860.0, 1740.0, 1620.0, 1500.0]
    bound_s = scheduled(lengths, slow, 300.0).work_s / lanes
    assert cut_batch(lengths, slow, 30.0, 300.0).makespan_s <= 1.05 * bound_s
    if lanes > 2:
        assert scheduled(lengths, slow, 300.0).makespan_s > 1.05 * bound_s


def test_a_large_batch_costs_a_bounded_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in chunks that are placed one by one, since a clock would measure the machine."""
    placed = 0
    replace = heapq.heapreplace

    def counting(heap: list[float], item: float) -> float:
        nonlocal placed
        placed += 1
        replaced: float = replace(heap, item)
        return replaced

    monkeypatch.setattr(heapq, "heapreplace", counting)
    for lengths in ([3600.0] * 10_000, [20.0] * 10_000, [36_000.0] * 100, [1e6], [601.0] * 499):
        placed = 0
        cut_batch(lengths, LaneCapacity(7, FAST), 30.0, 300.0)
        assert placed < 150_000


def test_an_end_of_many_rounds_keeps_the_target() -> None:
    cuts = cut_batch([3600.0] * 10_000, LaneCapacity(8, FAST), 30.0, 300.0)
    assert (cuts.tail_from, cuts.chunks) == (10_000, 120_000)
