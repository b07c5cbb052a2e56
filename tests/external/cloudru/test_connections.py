"""Connections: one request in flight on each, reused, replaced, and HTTP/2 given up in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from sttbatch.core.errors import EndpointUnreachable, UsageError
from sttbatch.core.events import ConnectionsClosed
from tests.cloudru import (
    CloudRu,
    Fin,
    Hang,
    ResetStream,
    before_body,
)

from .lanes import (
    MIB,
    SHORT_STALL_S,
    Lanes,
    all_heard,
    assert_one_request_a_connection,
    hear_number,
    lanes_to,
    run_lanes,
    until,
)

CHUNKS = 8
LARGE = 3 * MIB  # three times what an h2 stream takes before the endpoint reads


def test_connections_are_reused(endpoint: CloudRu) -> None:
    lanes = run_lanes(endpoint, 24)
    assert lanes.words == all_heard(24)
    assert endpoint.connections_opened == 4
    assert_one_request_a_connection(endpoint)
    assert {post.http_version for post in endpoint.received} == {"2"}
    assert (lanes.pool.opened, lanes.pool.reused, lanes.pool.replaced) == (4, 20, 0)
    assert lanes.events == [ConnectionsClosed("", opened=4, reused=20, replaced=0)]


async def in_advance(lanes: Lanes, count: int, endpoint: CloudRu) -> None:
    """Open connections for so many requests, and wait until they are open."""
    lanes.endpoint.prepare(count)
    await until(lambda e: e.log.connections_open == count, endpoint)
    await idle()


async def idle() -> None:
    """Wait for all that goes on in the background."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)


@pytest.fixture
def kept_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections opened in advance are kept, however slow this machine is."""
    monkeypatch.setattr("sttbatch.external.cloudru.connections.UNUSED_S", 3600.0)


@pytest.fixture(params=[True, False], ids=["tls", "plain"])
def with_or_without_tls(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CloudRu]:
    with CloudRu(tls=request.param, recognise=hear_number) as endpoint:
        monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))
        yield endpoint
    assert endpoint.errors == []


@pytest.mark.usefixtures("kept_unused")
def test_connections_are_open_before_the_first_request(with_or_without_tls: CloudRu) -> None:
    """And what none of them needs is closed at the end."""

    async def prepared(endpoint: CloudRu) -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await in_advance(lanes, 3, endpoint)
            assert endpoint.received == []
            await lanes.send_all(6, 2)
            assert endpoint.log.connections_open == 3
        await until(lambda e: e.log.connections_open == 0, endpoint)
        return lanes

    lanes = asyncio.run(prepared(with_or_without_tls))
    assert lanes.words == all_heard(6)
    assert lanes.events == [ConnectionsClosed("", opened=3, reused=4, replaced=0)]
    assert_one_request_a_connection(with_or_without_tls)


@pytest.mark.usefixtures("kept_unused")
def test_a_connection_in_advance_that_the_endpoint_closed_is_not_used(
    with_or_without_tls: CloudRu,
) -> None:
    async def closed_meanwhile(endpoint: CloudRu) -> Lanes:
        async with lanes_to(endpoint, retries=0) as lanes:
            await in_advance(lanes, 2, endpoint)
            await asyncio.to_thread(endpoint.go_away)
            await asyncio.to_thread(endpoint.come_back)
            await lanes.send_all(4, 2)
        return lanes

    lanes = asyncio.run(closed_meanwhile(with_or_without_tls))
    assert lanes.words == all_heard(4)
    assert [post.status for post in lanes.all_posts] == [200] * 4


@pytest.mark.usefixtures("kept_unused")
def test_a_connection_in_advance_that_goes_stale_costs_nothing(
    with_or_without_tls: CloudRu,
) -> None:
    """The endpoint closes it while the request is on its way, which is then sent again at once."""

    async def closed_at_once(endpoint: CloudRu) -> Lanes:
        async with lanes_to(endpoint, retries=0) as lanes:
            await in_advance(lanes, 1, endpoint)
            await lanes.send(0)
        return lanes

    with_or_without_tls.faults = before_body(lambda post: Fin() if post.number == 0 else None)
    lanes = asyncio.run(closed_at_once(with_or_without_tls))
    assert lanes.words == all_heard(1)
    assert len(with_or_without_tls.received) == 2


@pytest.mark.usefixtures("kept_unused")
def test_a_client_that_cannot_be_closed_leaves_no_connection(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(_: httpx.AsyncClient) -> None:
        raise OSError

    async def unused() -> None:
        async with lanes_to(endpoint) as lanes:
            await in_advance(lanes, 2, endpoint)
            monkeypatch.setattr(httpx.AsyncClient, "aclose", failing)
        await until(lambda e: e.log.connections_open == 0, endpoint)

    asyncio.run(unused())


@pytest.mark.usefixtures("kept_unused")
def test_a_connection_in_advance_hides_no_fault(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")

    async def prepared() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            lanes.endpoint.prepare(2)
            await idle()
            await lanes.send_all(1, 1)
        return lanes

    lanes = asyncio.run(prepared())
    with pytest.raises(EndpointUnreachable, match=r"not trusted.*SSL_CERT_FILE"):
        assert lanes.words
    assert lanes.events == [ConnectionsClosed("", opened=2, reused=0, replaced=1)]


def test_an_address_that_is_none_is_told_by_the_request(endpoint: CloudRu) -> None:
    async def prepared() -> Lanes:
        async with lanes_to(endpoint, base_url="https://\u2603.invalid/v1") as lanes:
            lanes.endpoint.prepare(2)
            await lanes.send_all(1, 1)
        return lanes

    with pytest.raises(UsageError, match=r"base URL is not valid.*IDNA"):
        assert asyncio.run(prepared()).words


def test_a_connection_has_served_enough_before_the_endpoint_says_so(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no upload meets its end, and each chunk is sent once."""
    monkeypatch.setattr("sttbatch.external.cloudru.connections.REQUESTS_A_CONNECTION", 3)
    endpoint.max_requests_per_connection = 4
    lanes = run_lanes(endpoint, 12, lanes=1, size=LARGE, retries=0)
    assert lanes.words == all_heard(12)
    assert [post.connection for post in endpoint.received] == sorted([1, 2, 3, 4] * 3)
    assert lanes.events == [ConnectionsClosed("", opened=4, reused=8, replaced=4)]


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_http1_servers(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without HTTP/2, and no warning about it, also when connections break."""
    with CloudRu(tls=tls, http_versions=("http/1.1",), recognise=hear_number) as endpoint:
        monkeypatch.setenv("SSL_CERT_FILE", str(endpoint.ca_file))
        endpoint.faults = before_body(lambda post: Fin() if post.attempt < 1 else None)
        lanes = run_lanes(endpoint, 12)
        assert lanes.words == all_heard(12)
        assert {post.http_version for post in endpoint.received} == {"1.1"}
        assert_one_request_a_connection(endpoint)
        assert lanes.warnings == []


def test_a_connection_that_went_stale_costs_nothing(endpoint: CloudRu) -> None:
    """The endpoint closes what is idle; the next request is sent again at once."""

    async def with_a_pause() -> Lanes:
        async with lanes_to(endpoint, retries=0) as lanes:
            await lanes.send_all(4)
            await until(lambda e: e.log.connections_open == 0, endpoint)
            await lanes.send_all(8)
            return lanes

    endpoint.close_idle_s = 1.0
    lanes = asyncio.run(with_a_pause())
    assert lanes.words == all_heard(8)
    assert len(endpoint.received) == 12
    assert lanes.warnings == []


def test_old_connections_are_not_tried(endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch) -> None:
    async def with_a_pause() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            monkeypatch.setattr("sttbatch.external.cloudru.connections.IDLE_S", -1.0)
            await lanes.send(1)
            return lanes

    lanes = asyncio.run(with_a_pause())
    assert endpoint.connections_opened == 2
    assert len(lanes.all_posts) == 2


@pytest.mark.parametrize("size", [2000, LARGE], ids=["small", "large"])
def test_a_limit_of_requests_per_connection(size: int, endpoint: CloudRu) -> None:
    """GOAWAY when the last one begins, as nginx does it at keepalive_requests."""
    endpoint.max_requests_per_connection = 3
    lanes = run_lanes(endpoint, 12, lanes=2, size=size, retries=0)
    assert lanes.words == all_heard(12)
    assert lanes.warnings == []
    assert len(lanes.all_posts) <= 3.3 * 12


def test_http2_that_keeps_failing_is_given_up(endpoint: CloudRu) -> None:
    """After three connections in a row, with one warning."""
    endpoint.faults = before_body(lambda post: ResetStream() if post.http_version == "2" else None)
    lanes = run_lanes(endpoint, 12, lanes=1, size=LARGE, stall_s=SHORT_STALL_S)
    assert lanes.words == all_heard(12)
    versions = [post.http_version for post in endpoint.received]
    assert versions.count("2") == 3
    assert versions[6:] == ["1.1"] * len(versions[6:])
    assert len(lanes.warnings) == 1
    assert "HTTP/1.1" in lanes.warnings[0]


def test_http2_is_tried_again_later(endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sttbatch.external.cloudru.connections.HTTP1_FOR_S", 0.0)
    endpoint.faults = before_body(lambda post: ResetStream() if post.number < 3 else None)
    lanes = run_lanes(endpoint, 6, lanes=1, size=LARGE, stall_s=SHORT_STALL_S)
    assert lanes.words == all_heard(6)
    assert endpoint.received[-1].http_version == "2"


def test_connections_lost_together_count_once(endpoint: CloudRu) -> None:
    """A load balancer that restarts breaks all lanes at the same time; HTTP/2 stays."""

    async def losing() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            for _ in range(2):
                endpoint.latency_s = 30
                sending = asyncio.ensure_future(lanes.send_all(4))
                await until(
                    lambda e: sum(not p.over and p.words != () for p in e.received) == 4, endpoint
                )
                await asyncio.to_thread(endpoint.go_away)
                endpoint.latency_s = 0
                await asyncio.to_thread(endpoint.come_back)
                await sending
                assert lanes.words == all_heard(4)
            return lanes

    lanes = asyncio.run(losing())
    assert lanes.warnings == []
    assert {post.http_version for post in endpoint.received} == {"2"}


def test_refused_connections_say_nothing_against_http2(endpoint: CloudRu) -> None:
    async def away_and_back() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await asyncio.to_thread(endpoint.go_away)
            sending = asyncio.ensure_future(lanes.send_all(4))
            while len(lanes.all_posts) < 10:  # noqa: ASYNC110 - posts that reach nobody
                await asyncio.sleep(0.01)
            await asyncio.to_thread(endpoint.come_back)
            await sending
            return lanes

    lanes = asyncio.run(away_and_back())
    assert lanes.words == all_heard(4)
    assert lanes.warnings == []
    assert {post.http_version for post in endpoint.received} == {"2"}
    refused = [post for post in lanes.all_posts if post.status is None]
    assert all(post.sent_bytes == 0 and not post.maybe_paid for post in refused)


def test_an_untrusted_certificate_is_told_at_once(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    lanes = run_lanes(endpoint, 1)
    with pytest.raises(EndpointUnreachable, match=r"not trusted.*SSL_CERT_FILE"):
        assert lanes.words
    assert len(lanes.all_posts) == 1
    assert endpoint.received == []


def test_a_missing_certificate_file_is_a_setting(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    lanes = run_lanes(endpoint, 1)
    with pytest.raises(UsageError, match="SSL_CERT_FILE"):
        assert lanes.words


def test_a_bad_proxy_variable_is_a_setting(
    endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "")
    lanes = run_lanes(endpoint, 1)
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        assert lanes.words


def test_cancelling_retires_the_connection(endpoint: CloudRu) -> None:
    """What was sent is recorded as maybe paid, and its stream is nobody's any more."""
    endpoint.faults = lambda post: Hang() if post.number == 1 else None

    async def cancelling() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            sending = asyncio.ensure_future(lanes.send(1))
            await until(lambda e: e.log.in_flight == 1 and e.received[-1].fault, endpoint)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await lanes.send(2)
            return lanes

    lanes = asyncio.run(cancelling())
    assert [(post.status, post.maybe_paid) for post in lanes.posts[1]] == [(None, True)]
    assert [post.connection for post in endpoint.received] == [1, 1, 2]
    assert_one_request_a_connection(endpoint)
