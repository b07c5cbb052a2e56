"""`-j auto` finds how much an endpoint bears, stays below it, and looks again."""

from __future__ import annotations

import random

import pytest

from sttbatch.processing.scheduling.adaptive_concurrency import (
    GOOD_BEFORE_RETRY,
    AdaptiveConcurrency,
    RequestOutcome,
)
from tests.processing.scheduling.simulated_endpoint import Endpoint, Run, run

REQUESTS = 300
SEEDS = range(12)
REFUSES = Endpoint(refuse_above=6)
SLOWS = Endpoint(slow_above=6)


def chunks(seed: int, *, mixed: bool) -> list[float]:
    chance = random.Random(seed)
    return [chance.uniform(20, 300) if mixed else 300.0 for _ in range(REQUESTS)]


def best_fixed(endpoint: Endpoint, lengths: list[float], seed: int) -> Run:
    runs = [run(endpoint, lengths, seed, fixed=lanes) for lanes in range(1, 11)]
    return min(runs, key=lambda each: each.took_s)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("mixed", [False, True], ids=["equal", "mixed"])
@pytest.mark.parametrize("endpoint", [REFUSES, SLOWS], ids=["refuses", "slows"])
def test_settles_below_the_level_and_loses_little(
    endpoint: Endpoint, seed: int, *, mixed: bool
) -> None:
    lengths = chunks(seed, mixed=mixed)
    found = run(endpoint, lengths, seed, adaptive=True)
    assert found.limits[60] in {5, 6}
    # All but the trials above the ceiling.
    assert sum(limit in {5, 6} for limit in found.limits[60:]) > 0.9 * len(found.limits[60:])
    assert found.took_s <= best_fixed(endpoint, lengths, seed).took_s / 0.9


def test_rises_to_its_maximum_and_no_further() -> None:
    found = run(Endpoint(), chunks(1, mixed=False), 1, adaptive=True, maximum=8)
    assert max(found.limits) == found.limits[-1] == 8


@pytest.mark.parametrize("maximum", [1, 2])
def test_a_small_maximum_is_kept(maximum: int) -> None:
    found = run(Endpoint(), chunks(1, mixed=False), 1, adaptive=True, maximum=maximum)
    assert set(found.limits) == {maximum}


def test_does_not_rise_where_more_at_once_gains_nothing() -> None:
    """Some requests too many cost nothing there, so a level or two above is no loss."""
    found = run(Endpoint(saturates_at=4), chunks(1, mixed=False), 1, adaptive=True)
    assert max(found.limits) <= 6


def test_a_large_batch_begins_higher_unless_something_is_known() -> None:
    for maximum, chunks, first in ((10, 39, 2), (10, 40, 4), (3, 40, 3), (1, 400, 1)):
        auto = AdaptiveConcurrency(maximum)
        auto.expect(chunks)
        assert auto.limit == first
    refused = risen_to(8)
    refused.come(RequestOutcome.SLOW_DOWN, count=5)
    refused.auto.expect(400)
    assert refused.auto.limit == 1


class Answers:
    """Requests one after the other, each begun when the limit was as it is."""

    def __init__(self, maximum: int = 10) -> None:
        self.auto = AdaptiveConcurrency(maximum)
        self.now = 0.0
        self.reasons: list[str] = []

    def come(
        self, outcome: RequestOutcome = RequestOutcome.OK, count: int = 1, latency_s: float = 1.0
    ) -> None:
        for _ in range(count):
            self.now += 10.0
            reason = self.auto.observe(self.now, latency_s, 60.0, outcome, self.auto.limit)
            if reason is not None:
                self.reasons.append(reason)


def risen_to(level: int) -> Answers:
    answers = Answers()
    while answers.auto.limit < level:
        answers.come()
    return answers


def test_a_429_is_one_step_and_the_next_halves() -> None:
    answers = risen_to(8)
    answers.come(RequestOutcome.SLOW_DOWN)
    assert (answers.auto.limit, answers.auto.ceiling) == (7, 8)
    answers.come(RequestOutcome.SLOW_DOWN)
    assert (answers.auto.limit, answers.auto.ceiling) == (3, 7)
    answers.come(RequestOutcome.SLOW_DOWN, count=5)
    assert answers.auto.limit == 1
    assert "429" in answers.reasons[-1]


def test_requests_of_one_moment_are_refused_once() -> None:
    answers = risen_to(7)
    for _ in range(5):
        # All were sent before the first 429 came back.
        answers.auto.observe(answers.now + 0.1, 0.2, 60.0, RequestOutcome.SLOW_DOWN, 7)
    assert answers.auto.limit == 6


def test_the_ceiling_is_tried_again_after_fifty_good_answers() -> None:
    answers = risen_to(7)
    answers.come(RequestOutcome.SLOW_DOWN)
    answers.come(count=GOOD_BEFORE_RETRY - 1)
    assert answers.auto.limit == 6
    answers.come()
    assert answers.auto.limit == 7
    answers.come(RequestOutcome.SLOW_DOWN)
    assert (answers.auto.limit, answers.auto.ceiling) == (6, 7)


def test_what_is_neither_good_nor_a_429_changes_nothing() -> None:
    answers = risen_to(5)
    answers.come(RequestOutcome.OTHER, count=200, latency_s=30.0)
    assert answers.auto.limit == 5


def test_too_few_in_flight_say_nothing_of_a_level() -> None:
    auto = AdaptiveConcurrency(10)
    for number in range(100):
        assert auto.observe(10.0 * number, 1.0, 60.0, RequestOutcome.OK, in_flight=1) is None


def test_always_within_its_bounds() -> None:
    chance = random.Random(7)
    answers = Answers(maximum=6)
    for _ in range(3000):
        outcome = chance.choice(
            [RequestOutcome.OK] * 8 + [RequestOutcome.SLOW_DOWN, RequestOutcome.OTHER]
        )
        answers.come(outcome, latency_s=chance.uniform(0.1, 9.0))
        assert 1 <= answers.auto.limit <= 6
