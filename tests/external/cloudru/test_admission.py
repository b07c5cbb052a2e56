"""The rate limit and the waits of an outage, to the second, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

import pytest

from sttbatch.core.errors import EndpointUnreachable
from sttbatch.database.rates import InMemoryRates
from sttbatch.external.cloudru.admission import AdmissionControl, AdmissionTicket, RateLimiter
from sttbatch.external.cloudru.rate_limit import RateLimits
from tests.virtual_time import in_virtual_time, loop_time


def now() -> float:
    return loop_time()


def limiter_of(per_minute: int) -> RateLimiter:
    return RateLimiter(RateLimits(per_minute), InMemoryRates(loop_time))


async def admissions(per_minute: int, seconds: float, lanes: int = 10) -> list[float]:
    """When each request of ten busy lanes is let through."""
    limiter = limiter_of(per_minute)
    times: list[float] = []

    async def lane() -> None:
        while True:
            await limiter.wait()
            times.append(now())

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(lane() for _ in range(lanes)))
    return times


@pytest.mark.parametrize("per_minute", [1, 2, 7, 60, 600, 900])
def test_never_more_than_the_limit_in_any_minute(per_minute: int) -> None:
    """Evenly spaced but for a burst of 2 %, and not far below the limit."""
    times = in_virtual_time(admissions(per_minute, 310))
    for first, begin_s in enumerate(times):
        in_a_minute = sum(begin_s <= at_s <= begin_s + 60 for at_s in times[first:])
        assert in_a_minute <= per_minute
    # Five minutes, of which the last may have just begun.
    assert len(times) >= math.floor(0.97 * 5 * (per_minute - 0.02 * per_minute))
    burst = max(1, int(0.02 * per_minute))
    spacing_s = 62 / (per_minute - burst + 1)
    for before, after in zip(times, times[burst:], strict=False):
        assert after - before >= min(spacing_s, 60 / per_minute) * 0.98 - 0.002


def test_a_pause_saves_up_no_more_than_the_burst() -> None:
    async def after_a_pause() -> int:
        limiter = limiter_of(600)
        await asyncio.sleep(3600)
        begun = now()
        count = 0
        while now() - begun < 0.05:
            await limiter.wait()
            count += 1
        return count

    assert in_virtual_time(after_a_pause()) <= 13


def admission_control(
    outage_wait_s: float = 600.0, warn: Callable[[str], None] = lambda _: None
) -> AdmissionControl:
    return AdmissionControl(limiter_of(60_000), outage_wait_s, warn=warn)


def test_probes_wait_from_half_a_second_to_fifteen() -> None:
    """And the outage ends with ten minutes, not before and not long after."""

    warnings: list[str] = []

    async def outage() -> list[float]:
        admission = admission_control(warn=warnings.append)
        ticket = AdmissionTicket()
        times: list[float] = []
        for _ in range(3):
            await admission.admit(ticket)
            assert admission.failed(ticket, "gone", answered=False) == (_ == 2)
        begun = now()

        async def probe() -> None:
            while True:
                await admission.admit(ticket)
                times.append(now() - begun)
                assert admission.failed(ticket, "gone", answered=False)

        with pytest.raises(EndpointUnreachable, match=r"600 s.*gone"):
            await probe()
        assert now() - begun < 601
        admission.release(ticket)
        with pytest.raises(EndpointUnreachable):
            await admission.admit(AdmissionTicket(stopped=ticket.stopped))
        # The next run of the process finds out for itself.
        await admission.admit(AdmissionTicket())
        return times

    times = in_virtual_time(outage())
    assert times[:5] == pytest.approx([0.5, 1.5, 3.5, 7.5, 15.5], abs=0.1)
    assert times[5:8] == pytest.approx([30.5, 45.5, 60.5], abs=0.1)
    assert times[-1] == pytest.approx(600, abs=0.1)
    assert warnings == ["the endpoint fails (gone); waiting up to 600 s for it to recover"]


@pytest.mark.parametrize(
    ("answered_before", "is_up", "also", "refused_at_s"),
    [
        (False, True, "503", 0),
        (True, True, "503", 60.5),
        (True, False, "503", None),
        (False, False, "503", None),
        (False, True, "lost", None),
    ],
    ids=["never answered", "answered before", "gone after answers", "gone", "not only 503"],
)
def test_an_endpoint_that_is_up_and_refuses_is_not_waited_for(
    answered_before: bool, is_up: bool, also: str, refused_at_s: float | None
) -> None:
    """One that answered is given a minute, as its gateway may be up while it restarts."""

    async def story() -> tuple[float, bool]:
        async def models_are_listed() -> bool:
            return is_up

        admission = AdmissionControl(limiter_of(60_000), 600, is_up=models_are_listed)
        ticket, before = AdmissionTicket(), AdmissionTicket()
        await admission.admit(before)
        await asyncio.sleep(1)
        if answered_before:
            admission.succeeded(before)
        for reason in ("503", also, "503"):
            await admission.admit(ticket)
            admission.failed(ticket, reason, answered=True, is_503=reason == "503")
        begun = now()
        with contextlib.suppress(EndpointUnreachable):
            while not admission.refusing:
                await admission.admit(ticket)
                # The last one is let through without a wait, and is to count as a retry.
                is_free = admission.failed(ticket, "503", answered=True, is_503=True)
                assert is_free != admission.refusing
        return now() - begun, admission.refusing

    waited_s, refusing = in_virtual_time(story())
    assert refusing == (refused_at_s is not None)
    assert waited_s == pytest.approx(600 if refused_at_s is None else refused_at_s, abs=0.1)


def test_a_short_outage_behind_a_gateway_is_waited_for() -> None:
    """Twenty seconds of 503 cost no retry, though the list of models is answered all the time."""

    async def story() -> float:
        async def models_are_listed() -> bool:
            return True

        admission = AdmissionControl(limiter_of(60_000), 600, is_up=models_are_listed)
        ticket = AdmissionTicket()
        await admission.admit(ticket)
        await asyncio.sleep(1)
        admission.succeeded(ticket)
        begun, failures = now(), 0
        while True:
            await admission.admit(ticket)
            if now() - begun > 20:
                admission.succeeded(ticket)
                assert not admission.refusing
                return now() - begun
            failures += 1
            is_free = admission.failed(ticket, "503", answered=True, is_503=True)
            assert is_free == (failures >= 3)

    assert in_virtual_time(story()) == pytest.approx(30.5, abs=0.1)


def test_two_failures_are_no_outage() -> None:
    async def failing() -> None:
        admission = admission_control()
        ours, other = AdmissionTicket(), AdmissionTicket()
        for _ in range(10):
            assert not admission.failed(ours, "", answered=False)
            assert not admission.failed(other, "", answered=False)
            admission.succeeded(other)

    in_virtual_time(failing())


def test_lanes_probe_in_turn_and_success_opens_all() -> None:
    async def outage() -> tuple[list[int], list[float]]:
        admission = admission_control()
        tickets = [AdmissionTicket() for _ in range(4)]
        for ticket in tickets:
            admission.failed(ticket, "gone", answered=False)
        order: list[int] = []
        opened: list[float] = []
        probing = 0

        async def lane(number: int) -> None:
            nonlocal probing
            while True:
                await admission.admit(tickets[number])
                order.append(number)
                probing += 1
                if len(order) <= 8:
                    assert probing == 1
                    await asyncio.sleep(5)
                    probing -= 1
                    admission.failed(tickets[number], "gone", answered=False)
                else:
                    opened.append(now())
                    admission.succeeded(tickets[number])
                    return

        await asyncio.gather(*(lane(number) for number in range(4)))
        return order, opened

    order, opened = in_virtual_time(outage())
    assert order[:8] == [0, 1, 2, 3, 0, 1, 2, 3]
    assert max(opened) - min(opened) < 0.1


def test_whoever_waits_for_the_rate_limit_heeds_an_outage() -> None:
    """Otherwise a low limit would let all lanes into an outage that has begun meanwhile."""

    async def outage() -> list[float]:
        admission = AdmissionControl(limiter_of(6), 600)
        first, others = AdmissionTicket(), [AdmissionTicket() for _ in range(3)]
        await admission.admit(first)
        sent: list[float] = []

        async def lane(ticket: AdmissionTicket) -> None:
            await admission.admit(ticket)
            sent.append(now())

        waiting = [asyncio.ensure_future(lane(ticket)) for ticket in others]
        await asyncio.sleep(1)
        for _ in range(3):
            admission.failed(first, "gone", answered=False)
        await asyncio.sleep(120)
        assert len(sent) == 1
        admission.succeeded(others[0])
        await asyncio.gather(*waiting)
        return sent

    assert len(in_virtual_time(outage())) == 3


def test_a_longer_wait_that_is_told_meanwhile_counts() -> None:
    async def slowed() -> float:
        admission = admission_control()
        await admission.slow_down(10)
        waiting = asyncio.ensure_future(admission.admit(AdmissionTicket()))
        await asyncio.sleep(9)
        await admission.slow_down(30)
        await admission.slow_down(2)
        await waiting
        return now()

    assert in_virtual_time(slowed()) == pytest.approx(39, abs=0.1)


def test_a_chunk_that_fails_where_others_are_served_pays_itself() -> None:
    """A 5xx after another's success counts against the chunk; a lost connection never does."""

    async def failing() -> None:
        admission = admission_control()
        bad, good = AdmissionTicket(), AdmissionTicket()
        await admission.admit(bad)
        admission.failed(bad, "503", answered=True)
        await asyncio.sleep(1)
        await admission.admit(good)
        admission.succeeded(good)
        for _ in range(2):
            admission.failed(bad, "503", answered=True)
        assert not admission.failed(bad, "503", answered=True)
        assert admission.failed(bad, "lost", answered=False)
        assert admission.failed(good, "503", answered=True)

    in_virtual_time(failing())


def test_the_wait_for_the_rate_limit_is_known() -> None:
    """Of each request by itself, the turns of others included, an outage's wait not."""

    async def waiting() -> list[float]:
        admission = AdmissionControl(limiter_of(60), 600)
        tickets = [AdmissionTicket() for _ in range(3)]
        await asyncio.gather(*(admission.admit(ticket) for ticket in tickets))
        waits = [ticket.rate_wait_s for ticket in tickets]
        await asyncio.sleep(100)
        for _ in range(3):
            admission.failed(tickets[2], "gone", answered=False)
        await admission.admit(tickets[2])
        return [*waits, tickets[2].rate_wait_s]

    spacing_s = 62 / 60
    waits = in_virtual_time(waiting())
    assert waits == pytest.approx([0, spacing_s, 2 * spacing_s, 0])


def test_a_slot_that_a_429_overtakes_is_not_used() -> None:
    """Nor is there a burst when the wait is over: the endpoint's count is full."""

    async def slowed() -> list[float]:
        admission = AdmissionControl(limiter_of(600), 600)
        times: list[float] = []

        async def lane() -> None:
            await admission.admit(AdmissionTicket())
            times.append(now())

        await asyncio.gather(*(lane() for _ in range(12)))
        lanes = [asyncio.ensure_future(lane()) for _ in range(5)]
        await asyncio.sleep(0.05)
        await admission.slow_down(30)
        await asyncio.gather(*lanes)
        return times[12:]

    spacing_s = 62 / 589
    expected = [30.05 + n * spacing_s for n in range(5)]
    assert in_virtual_time(slowed()) == pytest.approx(expected, abs=0.001)
