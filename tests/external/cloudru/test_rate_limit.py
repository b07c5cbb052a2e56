"""The limit to the millisecond: two processes' limiters over one file, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.core.ports.rates import RateState
from sttbatch.database.rates import InMemoryRates, SqliteRates
from sttbatch.external.cloudru.rate_limit import RateLimits

BEGIN_S = 50_000.0
MINUTE_S = 60.0
LATENESS_MS = 1990
"""Of a request on its way to the endpoint, which the window has room for."""


class Askers:
    """Processes with a limiter each; each asks again when its slot has come, or later."""

    def __init__(self, path: Path | None, limits: Sequence[RateLimits]) -> None:
        self._now = BEGIN_S
        memory = InMemoryRates(lambda: self._now)
        self._stores = [
            memory if path is None else SqliteRates(path, "here", clock=lambda: self._now)
            for _ in limits
        ]
        self._limits = limits
        self._free_at = [BEGIN_S] * len(limits)

    def ask(self, who: int, after_ms: int = 0, audio_s: float = 0.0) -> float:
        """The slot that `who` is given when it asks so long after it had its last one."""
        self._now = self._free_at[who] + after_ms / 1000
        store, limits = self._stores[who], self._limits[who]
        slot = store.change_now(lambda state, now: limits.take_slot(state, now, audio_s))
        assert slot >= self._now
        self._free_at[who] = slot
        return slot

    def next(self) -> int:
        """Whose turn it is to ask, when all ask as soon as they can."""
        return self._free_at.index(min(self._free_at))

    def close(self) -> None:
        for store in self._stores:
            if isinstance(store, SqliteRates):
                store._disconnect()


def most_in_a_minute(times: Sequence[float]) -> int:
    times = sorted(times)
    return max(sum(first <= at < first + MINUTE_S for at in times) for first in times)


limits = st.sampled_from([1, 2, 3, 10, 49, 50, 100, 150])
steps = st.lists(
    st.tuples(st.sampled_from([0, 0, 0, 1, 50, 3000, 70_000]), st.integers(0, LATENESS_MS)),
    min_size=50,
    max_size=400,
)


@given(limits, steps)
@settings(max_examples=30, deadline=None, database=None)
def test_two_processes_never_exceed_one_limit(per_minute: int, asks: list[tuple[int, int]]) -> None:
    """Neither where they let requests through nor where those arrive, each late by up to 2 s."""
    with TemporaryDirectory() as folder:
        askers = Askers(Path(folder) / "rate.db", [RateLimits(per_minute)] * 2)
        slots, arrivals = [], []
        for after_ms, late_ms in asks:
            # Time goes on for both: who asks is whoever was served longest ago.
            slots.append(askers.ask(askers.next(), after_ms))
            arrivals.append(slots[-1] + late_ms / 1000)
        askers.close()
    assert most_in_a_minute(slots) <= per_minute
    assert most_in_a_minute(arrivals) <= per_minute


@given(limits, limits, steps)
@settings(max_examples=30, deadline=None, database=None)
def test_each_keeps_to_a_limit_of_its_own(
    one: int, other: int, asks: list[tuple[int, int]]
) -> None:
    askers = Askers(None, [RateLimits(one), RateLimits(other)])
    slots: tuple[list[float], list[float]] = ([], [])
    for after_ms, _ in asks:
        who = askers.next()
        slots[who].append(askers.ask(who, after_ms))
    for per_minute, times in zip((one, other), slots, strict=True):
        assert not times or most_in_a_minute(times) <= per_minute
    assert most_in_a_minute([*slots[0], *slots[1]]) <= max(one, other)


@pytest.mark.parametrize("per_minute", [1, 7, 49, 50, 99, 100, 240, 600, 6000])
def test_the_limit_is_used(per_minute: int) -> None:
    """By two processes that always have something to send, each half of it."""
    askers = Askers(None, [RateLimits(per_minute)] * 2)
    slots: tuple[list[float], list[float]] = ([], [])
    count = max(20, 3 * per_minute)
    for _ in range(count):
        who = askers.next()
        slots[who].append(askers.ask(who))
    times = sorted([*slots[0], *slots[1]])
    assert len(times) - 1 >= 0.93 * per_minute * (times[-1] - times[0]) / MINUTE_S
    assert abs(len(slots[0]) - len(slots[1])) <= 0.02 * per_minute + 2


audio = st.lists(
    st.tuples(st.floats(0.5, 700), st.sampled_from([0, 0, 0, 1000, 70_000])),
    min_size=20, max_size=80,
)  # fmt: skip


@given(st.sampled_from([60.0, 500.0, 3600.0]), audio)
@settings(max_examples=60, deadline=None, database=None)
def test_audio_is_limited_as_well(per_minute: float, asks: list[tuple[float, int]]) -> None:
    """At most so many seconds in any minute; a chunk that is longer goes alone in its minute."""
    askers = Askers(None, [RateLimits(6000, per_minute)] * 2)
    sent = sorted((askers.ask(askers.next(), ms, audio_s), audio_s) for audio_s, ms in asks)
    for first, _ in sent:
        minute = [audio_s for at, audio_s in sent if first <= at < first + MINUTE_S]
        assert len(minute) == 1 or sum(minute) <= per_minute + 1e-6


def test_audio_is_paid_for_afterwards() -> None:
    """A chunk of 300 s at 600 s a minute goes at once; what follows waits for half a minute."""
    askers = Askers(None, [RateLimits(6000, 600)])
    assert askers.ask(0, audio_s=300) == BEGIN_S
    assert askers.ask(0, audio_s=300) == pytest.approx(BEGIN_S + 31)
    # One longer than a minute allows goes when its minute is empty, and is paid off too.
    assert askers.ask(0, audio_s=1200) == pytest.approx(BEGIN_S + 31 + 62)
    assert askers.ask(0, audio_s=1) > BEGIN_S + 31 + 62 + 120


@pytest.mark.parametrize("per_minute", [300, 700, 3600])
def test_the_audio_limit_is_used_in_short_chunks(per_minute: int) -> None:
    askers = Askers(None, [RateLimits(6000, per_minute)])
    slots = [askers.ask(0, audio_s=10) for _ in range(per_minute // 2)]
    assert 10 * (len(slots) - 1) >= 0.93 * per_minute * (slots[-1] - slots[0]) / MINUTE_S


def test_a_pause_after_a_429_is_for_all_and_not_for_hours() -> None:
    state, limits_ = RateState(), RateLimits(600)
    limits_.slow_down(state, BEGIN_S, 3600)
    slots = [limits_.take_slot(state, BEGIN_S, 1.0) for _ in range(3)]
    expected = [BEGIN_S + 120 + n * limits_.spacing_s for n in range(3)]
    assert slots == pytest.approx(expected)


def test_times_from_another_boot_block_nobody() -> None:
    far = BEGIN_S + 1_000_000
    state = RateState(far, far, far, [(far, 1e6)])
    assert RateLimits(1, 60).take_slot(state, BEGIN_S, 300) == BEGIN_S
