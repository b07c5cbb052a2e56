"""An endpoint that is gone is waited for, by one request at a time; a stop ends every wait."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from sttbatch.core.errors import ChunkError, EndpointUnreachable, Stopped
from sttbatch.core.models import Upload
from sttbatch.core.options import Backoff, RetryConfig
from tests.cloudru import CloudRu, Received, Status, always

from .lanes import Lanes, all_heard, lanes_to, until, upload


async def tried(lanes: Lanes, count: int) -> None:
    """Wait for so many posts, which reach no endpoint that could tell."""
    while len(lanes.all_posts) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def test_nothing_is_lost_when_the_endpoint_goes_away(endpoint: CloudRu) -> None:
    """In the middle of a batch; there are more failures than four chunks have retries."""

    async def outage() -> Lanes:
        async with lanes_to(endpoint, retries=3) as lanes:
            endpoint.latency_s = 0.02
            sending = asyncio.ensure_future(lanes.send_all(24))
            await until(lambda e: len(e.received) > 8, endpoint)
            await asyncio.to_thread(endpoint.go_away)
            await tried(lanes, len(lanes.all_posts) + 20)
            assert len(lanes.results) < 24
            await asyncio.to_thread(endpoint.come_back)
            await sending
            return lanes

    lanes = asyncio.run(outage())
    assert lanes.words == all_heard(24)
    # Four that were in flight, and the probe.
    assert len(endpoint.received) <= 24 + 5


def test_probes_come_one_at_a_time_and_ever_more_slowly(endpoint: CloudRu) -> None:
    """Lanes take turns; a server that answers 503 for a while is an outage as well."""
    probing: list[Received] = []

    def down(post: Received) -> Status | None:
        probing.append(post)
        return Status(503) if len(probing) <= 12 else None

    endpoint.faults = down

    async def outage() -> Lanes:
        # Three failures are an outage, and no lane retries before the third, so that nothing else
        # is in flight when it begins.
        waits = RetryConfig(Backoff.FIXED, base_s=0.5)
        async with lanes_to(endpoint, waits=waits, probe_waits_s=(0.05, 0.2)) as lanes:
            await lanes.send_all(8, lanes=3)
            return lanes

    lanes = asyncio.run(outage())
    assert lanes.words == all_heard(8)
    probes = endpoint.received[3:12]
    assert {post.open_in_all for post in probes} == {1}
    assert len({post.idempotency_key for post in probes}) == 3
    waits_s = [b.arrived_at_s - a.arrived_at_s for a, b in pairwise(probes)]
    # How long at most, test_gate says, in virtual time.
    assert min(waits_s[3:]) > 0.18


def test_an_outage_that_outlasts_the_wait(endpoint: CloudRu) -> None:
    """All lanes end with what to do, and with what was seen last."""

    async def outage() -> Lanes:
        async with lanes_to(endpoint, outage_wait_s=0.5) as lanes:
            await asyncio.to_thread(endpoint.go_away)
            await lanes.send_all(4)
            return lanes

    lanes = asyncio.run(outage())
    assert len(lanes.results) == 4
    for error in lanes.results.values():
        assert isinstance(error, EndpointUnreachable)
        assert "run the same command again" in str(error)
        assert "ConnectError" in str(error)


@pytest.mark.parametrize("bad", [0, 11], ids=["first", "last"])
def test_a_chunk_that_always_fails_ends_alone(bad: int, endpoint: CloudRu) -> None:
    """It is always answered with 503, the others once in between; nobody waits for it."""
    word = (f"{bad:04x}",)

    def faults(post: Received) -> Status | None:
        return Status(503) if post.words == word or post.attempt < 1 else None

    endpoint.faults = faults

    async def sending() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            sending = asyncio.ensure_future(lanes.send_all(12))
            while len(lanes.results) < 11:  # noqa: ASYNC110 - answers, which the endpoint gave before
                await asyncio.sleep(0.005)
            # The last one may be alone with the endpoint, which then seems to be gone.
            lanes.admission._outage_wait_s = 0.5
            await sending
            return lanes

    lanes = asyncio.run(sending())
    error = lanes.results.pop(bad)
    assert isinstance(error, ChunkError | EndpointUnreachable)
    if bad == 0:
        assert isinstance(error, ChunkError)
        assert "503" in str(error)
        assert len(lanes.posts[bad]) < 12
    assert lanes.words == {n: text for n, text in all_heard(12).items() if n != bad}


def test_stop_lets_what_is_in_flight_finish(endpoint: CloudRu) -> None:
    """Waits end at once, and nothing new begins."""
    endpoint.faults = lambda post: Status(503, {"Retry-After": "60"}) if post.number else None
    endpoint.hold()

    async def stopping() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            first = asyncio.ensure_future(lanes.send(0))
            await until(lambda e: e.received and e.received[0].words, endpoint)
            second = asyncio.ensure_future(lanes.send(1))
            while not lanes.posts.get(1):  # noqa: ASYNC110 - it is about to wait for a minute
                await asyncio.sleep(0.005)
            lanes.stopped.set()
            assert isinstance(await second, Stopped)
            assert not first.done()
            endpoint.resume()
            await first
            assert isinstance(await lanes.send(2), Stopped)
            return lanes

    lanes = asyncio.run(stopping())
    assert not isinstance(lanes.results[0], Exception)
    assert len(endpoint.received) == 2


def test_stop_ends_an_outage(endpoint: CloudRu) -> None:
    async def stopping() -> Lanes:
        async with lanes_to(endpoint, probe_waits_s=(600, 600)) as lanes:
            await asyncio.to_thread(endpoint.go_away)
            sending = asyncio.ensure_future(lanes.send_all(4))
            await tried(lanes, 4)
            lanes.stopped.set()
            await sending
            return lanes

    lanes = asyncio.run(stopping())
    assert {type(result) for result in lanes.results.values()} == {Stopped}


def test_a_cancelled_prober_hands_on(endpoint: CloudRu) -> None:
    async def cancelling() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await asyncio.to_thread(endpoint.go_away)
            sending = [asyncio.ensure_future(lanes.send(number)) for number in range(4)]
            await tried(lanes, 5)
            for task in sending[:3]:
                task.cancel()
            await asyncio.to_thread(endpoint.come_back)
            await sending[3]
            await asyncio.gather(*sending, return_exceptions=True)
            return lanes

    lanes = asyncio.run(cancelling())
    assert lanes.words[3] == "0003"


def test_an_answer_from_before_the_outage_ends_it(endpoint: CloudRu) -> None:
    """The prober does not sit out its wait when another lane brings the news."""
    endpoint.faults = lambda post: Status(503) if 0 < post.number < 4 else None
    endpoint.hold()

    async def sending() -> Lanes:
        async with lanes_to(endpoint, probe_waits_s=(600, 600)) as lanes:
            first = asyncio.ensure_future(lanes.send(10))
            await until(lambda e: e.received and e.received[0].words, endpoint)
            others = asyncio.ensure_future(lanes.send_all(3, lanes=3))
            await tried(lanes, 3)
            endpoint.resume()
            await first
            await others
            return lanes

    lanes = asyncio.run(sending())
    assert len(lanes.words) == 4


def test_one_lane_alone_waits_too(endpoint: CloudRu) -> None:
    endpoint.faults = always(Status(503))

    async def sending() -> Lanes:
        async with lanes_to(endpoint, outage_wait_s=0.5) as lanes:
            one: Upload = upload(0)
            await lanes.send(0, one)
            return lanes

    lanes = asyncio.run(sending())
    assert isinstance(lanes.results[0], EndpointUnreachable)
    assert "503" in str(lanes.results[0])
