"""Each fault reaches a real client as what it is, and the next request is served."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from . import (
    CloudRu,
    Fault,
    Fin,
    Goaway,
    Hang,
    NotJson,
    ResetStream,
    Status,
    Truncated,
    always,
    before_body,
    in_turn,
    twice_per_chunk,
)
from .clients import LARGE, LOST, SMALL, client, hears_two, post

RESET = (httpx.RemoteProtocolError,), "StreamReset"
GOAWAY = (httpx.RemoteProtocolError,), "ConnectionTerminated"
BROKEN = LOST, "."
TIMEOUT = (httpx.ReadTimeout,), "timed out"
# What may end so is not waited for long; a busy machine may hold up anything else.
SHORT_S, LONG_S = 1.5, 60


@pytest.mark.parametrize(
    ("fault", "file", "over_h2", "over_h1"),
    [
        (Goaway(), SMALL, GOAWAY, BROKEN),
        (Goaway(), LARGE, GOAWAY, BROKEN),
        (Goaway(after_body=True), LARGE, GOAWAY, BROKEN),
        (ResetStream(), SMALL, RESET, BROKEN),
        (ResetStream(), LARGE, ((*LOST, httpx.LocalProtocolError, httpx.ReadTimeout), "."), BROKEN),
        (ResetStream(after_body=True, error_code=7), LARGE, RESET, BROKEN),
        (Fin(), SMALL, BROKEN, BROKEN),
        (Fin(), LARGE, BROKEN, BROKEN),
        (Fin(after_body=True), LARGE, BROKEN, BROKEN),
        (Hang(30), SMALL, TIMEOUT, TIMEOUT),
        # What HTTP/2 loses, HTTP/1.1 shows: None is an answer.
        (
            Status(413, early=True),
            LARGE,
            ((httpx.LocalProtocolError, httpx.ReadTimeout), "."),
            None,
        ),
        (Status(413, early=True), SMALL, None, None),
        (Status(413, early=True, reset=True), SMALL, None, None),
    ],
)
@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_a_fault_is_seen_and_passes(
    fault: Fault, file: bytes, over_h2: Any, over_h1: Any, http2: bool, endpoint: CloudRu
) -> None:
    """Once as what httpx makes of it; the next request is served."""
    endpoint.faults = in_turn([fault])
    expected = over_h2 if http2 else over_h1
    may_hang = expected is not None and httpx.ReadTimeout in expected[0]
    with client(endpoint, http2, SHORT_S if may_hang else LONG_S) as sender:
        if expected is None:
            assert post(sender, file).status_code == 413
        else:
            with pytest.raises(expected[0], match=expected[1]):
                post(sender, file)
    with client(endpoint, http2) as sender:
        assert post(sender, file).json() == {"text": "0000 0001"}
    endpoint.wait_for(lambda e: all(record.over for record in e.received))
    first, second = endpoint.received
    assert (first.fault, second.fault) == (repr(fault), "")
    assert first.status == (fault.code if isinstance(fault, Status) else None)
    if isinstance(fault, Hang):
        assert first.client_left


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_answers_that_are_none(http2: bool, endpoint: CloudRu) -> None:
    body = {"detail": "slow down"}
    faults: list[Fault | None] = [
        Truncated(),
        NotJson(),
        Status(429, {"Retry-After": "7"}, body),
        None,
    ]
    endpoint.faults = in_turn(faults)
    with client(endpoint, http2) as sender:
        cut, page, later, good = (post(sender) for _ in faults)
    assert (cut.status_code, page.status_code, good.json()["text"]) == (200, 200, "0000 0001")
    for answer in (cut, page):
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            answer.json()
    assert (later.headers["retry-after"], later.json()) == ("7", body)
    assert endpoint.connections_opened == 1


def test_attempts_are_counted_for_each_chunk(endpoint: CloudRu) -> None:
    """By the Idempotency-Key, and without one by the file."""
    endpoint.faults = twice_per_chunk(Status(500))
    with client(endpoint) as sender:
        keys = [{"Idempotency-Key": key} for key in "abaabb"]
        assert [post(sender, headers=key).status_code for key in keys] == [500] * 3 + [
            200,
            500,
            200,
        ]
        files = [b"one", b"two", b"one", b"one", b"two", b"two"]
        assert [post(sender, file).status_code for file in files] == [500] * 3 + [200, 500, 200]
        endpoint.faults = before_body(lambda record: Fin() if record.attempt < 1 else None)
        with pytest.raises(LOST):
            post(sender, b"fourth")
        assert post(sender, b"fourth").status_code == 200


def test_a_fault_in_the_body_must_be_asked_for_before_it() -> None:
    with CloudRu(recognise=hears_two, faults=lambda _: Fin()) as endpoint:
        with client(endpoint) as sender:
            assert post(sender).status_code == 500
        assert "before_body()" in endpoint.errors[0]


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
def test_an_outage(http2: bool, endpoint: CloudRu) -> None:
    """Breaks off what is in flight, refuses connections, and comes back on the same port."""
    endpoint.faults = in_turn([Hang()])
    with client(endpoint, http2) as sender, ThreadPoolExecutor(1) as thread:
        broken = thread.submit(post, sender)
        endpoint.wait_for(lambda e: any(record.fault for record in e.received))
        endpoint.go_away()
        with pytest.raises(LOST):
            broken.result()
        with pytest.raises(httpx.ConnectError):
            post(sender)
        endpoint.come_back()
        assert post(sender).status_code == 200
    assert endpoint.received[0].client_left


def test_always_is_always(endpoint: CloudRu) -> None:
    endpoint.faults = always(Status(529))
    with client(endpoint) as sender:
        assert {post(sender).status_code for _ in range(3)} == {529}
