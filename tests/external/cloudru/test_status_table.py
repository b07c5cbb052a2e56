"""Each row of the table of statuses, over TLS and HTTP/2, with several lanes."""

from __future__ import annotations

import asyncio
import email.utils
import gzip
import time
from typing import Any

import pytest

from sttbatch.core.errors import (
    ChunkError,
    ChunkRefused,
    ChunkTooLarge,
    EndpointRefused,
    RecordingRefused,
    RetryLater,
    SttbatchError,
    UsageError,
)
from tests.cloudru import (
    CloudRu,
    NotJson,
    Received,
    Status,
    Truncated,
    always,
    twice_per_chunk,
)

from .lanes import MIB, Lanes, all_heard, lanes_to, run_lanes, upload

CHUNKS = 8


def one(endpoint: CloudRu, status: Status, **options: Any) -> tuple[Exception, Lanes]:
    """The error of a single chunk that is always answered so."""
    endpoint.faults = always(status)
    lanes = run_lanes(endpoint, 1, **options)
    error = lanes.results[0]
    assert isinstance(error, Exception)
    return error, lanes


@pytest.mark.parametrize(
    "code",
    [
        408,
        429,
        503,
        *(pytest.param(code, marks=pytest.mark.slow) for code in (409, 425, 500, 502, 504, 529)),
    ],
)
def test_each_retryable_status_twice_per_chunk(code: int, endpoint: CloudRu) -> None:
    """All words, in 3 posts a chunk: the two that fail and the one that does not."""
    endpoint.faults = twice_per_chunk(Status(code))
    lanes = run_lanes(endpoint)
    assert lanes.words == all_heard(CHUNKS)
    assert len(endpoint.received) == 3 * CHUNKS
    for posts in lanes.posts.values():
        assert [post.status for post in posts] == [code, code, 200]
        assert [post.attempt for post in posts] == [1, 2, 3]
        assert [post.paid for post in posts] == [False, False, True]
        assert not any(post.maybe_paid for post in posts)


@pytest.mark.parametrize("fault", [Truncated(), NotJson()], ids=repr)
def test_unreadable_answers_twice_per_chunk(fault: Any, endpoint: CloudRu) -> None:
    """They may have been paid, so they are retried under the same key, and counted."""
    endpoint.faults = twice_per_chunk(fault)
    lanes = run_lanes(endpoint)
    assert lanes.words == all_heard(CHUNKS)
    assert len(endpoint.received) == 3 * CHUNKS
    assert len({post.idempotency_key for post in endpoint.received}) == CHUNKS
    assert sum(post.maybe_paid for post in lanes.all_posts) == 2 * CHUNKS


def test_a_third_unreadable_answer_is_the_last(endpoint: CloudRu) -> None:
    endpoint.faults = always(NotJson())
    lanes = run_lanes(endpoint, 1, retries=9)
    with pytest.raises(ChunkError, match=r"not JSON.*after 3 attempts"):
        assert lanes.words
    assert [post.maybe_paid for post in lanes.all_posts] == [True] * 3


def test_retries_are_what_the_user_allows(endpoint: CloudRu) -> None:
    error, lanes = one(endpoint, Status(409), retries=0)
    assert isinstance(error, ChunkError)
    assert len(lanes.all_posts) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "1"},
        {"Retry-After": "0.4"},
        {"retry-after-ms": "400", "Retry-After": "30"},
        {"Retry-After": "date"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("code", [429, 503])
def test_the_servers_hint_is_kept(code: int, headers: dict[str, str], endpoint: CloudRu) -> None:
    def told(post: Received) -> Status | None:
        if post.attempt:
            return None
        if headers.get("Retry-After") != "date":
            return Status(code, headers)
        # It has whole seconds.
        date = email.utils.formatdate(time.time() + 2, usegmt=True)
        return Status(code, {"Retry-After": date})

    endpoint.faults = told
    lanes = run_lanes(endpoint, 1)
    first, second = endpoint.received
    waited_s = second.arrived_at_s - first.arrived_at_s
    assert lanes.words == all_heard(1)
    # A backoff is over in no time here, and a wait for the wrong header would take half a minute.
    assert 0.3 < waited_s < 25


def test_a_429_slows_all_lanes(endpoint: CloudRu) -> None:
    """Nobody sends until the time that one of them was told."""
    slowed: list[float] = []

    def once(post: Received) -> Status | None:
        if post.number == 5:
            slowed.append(time.monotonic())
            return Status(429, {"Retry-After": "0.7"})
        return None

    endpoint.faults = once
    # Longer than news of the refusal takes to reach the other lanes.
    endpoint.latency_s = 0.2
    lanes = run_lanes(endpoint, 24)
    assert lanes.words == all_heard(24)
    later = [p.arrived_at_s - slowed[0] for p in endpoint.received if p.arrived_at_s > slowed[0]]
    # What was admitted already may be on its way: one for each of the other lanes.
    assert sum(after_s < 0.7 for after_s in later) <= 3
    assert sum(after_s >= 0.7 for after_s in later) >= 10


def test_too_long_a_hint_says_when_to_come_back(endpoint: CloudRu) -> None:
    hours = [time.strftime("%Y-%m-%d %H:", time.localtime(time.time() + 7200))]
    error, lanes = one(endpoint, Status(503, {"Retry-After": "7200"}))
    hours.append(time.strftime("%Y-%m-%d %H:", time.localtime(time.time() + 7200)))
    assert isinstance(error, RetryLater)
    assert any(back in str(error) for back in hours)
    assert len(lanes.all_posts) == 1


def test_the_servers_word_on_retrying_is_taken(endpoint: CloudRu) -> None:
    error, lanes = one(endpoint, Status(500, {"x-should-retry": "false"}))
    assert isinstance(error, ChunkError)
    assert len(lanes.all_posts) == 1
    endpoint.faults = twice_per_chunk(Status(400, {"x-should-retry": "true"}))
    assert run_lanes(endpoint).words == all_heard(CHUNKS)


@pytest.mark.parametrize("code", [400, 415, 422])
def test_a_bad_chunk_fails_alone(code: int, endpoint: CloudRu) -> None:
    endpoint.faults = lambda post: Status(code) if post.words == ("0002",) else None
    lanes = run_lanes(endpoint)
    error = lanes.results.pop(2)
    assert type(error) is ChunkRefused
    assert str(error) == f"{code}: status {code} on demand"
    assert lanes.words == {n: word for n, word in all_heard(CHUNKS).items() if n != 2}
    assert len(endpoint.received) == CHUNKS


UNKNOWN = {"error": {"message": "no such model", "param": "model"}}


@pytest.mark.parametrize("status", [Status(404), Status(400, body=UNKNOWN)], ids=["404", "400"])
def test_a_model_that_is_not_served_costs_one_post_a_lane(
    status: Status, endpoint: CloudRu
) -> None:
    endpoint.faults = always(status)
    lanes = run_lanes(endpoint, 4)
    assert len(endpoint.received) == 4
    assert endpoint.log.models_asked == 1
    for error in lanes.results.values():
        assert isinstance(error, UsageError)
        assert f"{status.code}: " in str(error)
        assert "it lists openai/whisper-large-v3" in str(error)


def test_a_404_after_others_were_served_is_of_its_chunk(endpoint: CloudRu) -> None:
    async def sending() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            endpoint.faults = always(Status(404))
            await lanes.send(1)
            return lanes

    assert type(asyncio.run(sending()).results[1]) is ChunkRefused


def packed(layers: int) -> bytes:
    body = b'{"text": "0002"}'
    for _ in range(layers):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("status", "complaint", "posts"),
    [
        (Status(503, {"Retry-After": "Fri, 31 Dec 99999999999 23:59:59 GMT"}), "503", 4),
        (Status(200, {"content-encoding": "gzip, " * 500}, packed(1)), "encoding cannot be", 3),
        (Status(200, {"content-encoding": "br"}, b"x"), "encoding cannot be read", 3),
        (Status(200, {"content-encoding": "gzip"}, b"no gzip"), "encoding cannot be read", 3),
        (Status(200, {"content-encoding": "gzip"}, packed(1)[:-20]), "not JSON", 3),
        (Status(200, body=b'{"text":"0002"}'.ljust(1_100_000)), "1,056,768 bytes: no", 1),
        (Status(200, body=b'{"segments":[' + b"{}," * 1100), "1,040 words and segments: no", 1),
        (Status(200, body=b'{"tokens":[' + b"0," * 22_000), "21,000 values: no", 1),
    ],
    ids=["date", "layers", "br", "no gzip", "cut gzip", "bytes", "objects", "values"],
)
def test_an_answer_that_cannot_be_read_fails_its_chunk(
    status: Status, complaint: str, posts: int, endpoint: CloudRu
) -> None:
    """Whatever its headers and its body say; what no other try would mend is asked for once."""
    endpoint.faults = lambda post: status if post.words == ("0002",) else None

    async def sending() -> Lanes:
        async with lanes_to(endpoint) as lanes:

            async def send_others(_number: int) -> None:
                # Without answers since its first failure, a 503 would be an outage.
                others = (number for number in range(CHUNKS) if number not in lanes.posts)
                await asyncio.gather(*map(lanes.send, others))

            lanes.on_failure = send_others
            await lanes.send(2)
            return lanes

    lanes = asyncio.run(sending())
    error = lanes.results.pop(2)
    assert isinstance(error, ChunkError)
    assert complaint in str(error)
    assert lanes.words == {n: word for n, word in all_heard(CHUNKS).items() if n != 2}
    assert len(lanes.posts[2]) == posts
    assert all(post.maybe_paid == (status.code == 200) for post in lanes.posts[2])


@pytest.mark.parametrize("layers", [1, 2])
def test_a_packed_answer_is_read(layers: int, endpoint: CloudRu) -> None:
    headers = {"content-encoding": ", ".join(["gzip"] * layers)}
    endpoint.faults = always(Status(200, headers, packed(layers)))
    assert run_lanes(endpoint, 1).words == {0: "0002"}


def test_413_asks_for_smaller_pieces(endpoint: CloudRu) -> None:
    error, lanes = one(endpoint, Status(413))
    assert isinstance(error, ChunkTooLarge)
    assert (error.max_piece_s, len(lanes.all_posts)) == (None, 1)


def test_what_is_over_the_limit_is_not_sent(endpoint: CloudRu) -> None:
    async def sending() -> None:
        async with lanes_to(endpoint) as lanes:
            result = await lanes.send(0, upload(0, size=25 * MIB - 64 * 1024))
            assert isinstance(result, ChunkTooLarge)
            assert isinstance(await lanes.send(1, upload(1, size=24 * MIB)), object)

    asyncio.run(sending())
    (record,) = endpoint.received
    assert record.status == 200
    assert record.body_bytes <= 25 * MIB - 64 * 1024


@pytest.mark.parametrize(
    "status",
    [
        Status(401),
        Status(402),
        Status(429, body={"error": {"message": "no", "code": "insufficient_quota"}}),
        Status(429, body={"message": "no", "code": "billing_hard_limit"}),
        Status(429, body={"detail": "Check your plan and billing details"}),
        Status(400, body={"error": {"message": "API key not valid"}}),
        Status(307, {"Location": "https://127.0.0.1/v2/"}),
    ],
    ids=repr,
)
def test_refusals_stop_everything(status: Status, endpoint: CloudRu) -> None:
    error, lanes = one(endpoint, status)
    assert isinstance(error, EndpointRefused)
    assert str(status.code) in str(error)
    assert len(lanes.all_posts) == 1


def test_an_error_inside_a_200_is_handled_as_the_status_it_names(endpoint: CloudRu) -> None:
    """It was not billed, so it uses up retries as that status does, and its message is shown."""
    error = {"message": "The model is overloaded", "type": "server_error", "code": 503}
    status = Status(200, {"x-should-retry": "false"}, {"error": error})
    failed, lanes = one(endpoint, status)
    assert str(failed) == "503: The model is overloaded (an error inside a 200)"
    assert [(post.status, post.maybe_paid) for post in lanes.all_posts] == [(503, False)]
    endpoint.faults = twice_per_chunk(Status(200, body={"error": error}))
    assert run_lanes(endpoint).words == all_heard(CHUNKS)


def test_a_403_concerns_its_recording(endpoint: CloudRu) -> None:
    error, lanes = one(endpoint, Status(403))
    assert isinstance(error, RecordingRefused)
    assert len(lanes.all_posts) == 1


def test_a_rate_limit_called_quota_is_none(endpoint: CloudRu) -> None:
    body = {"error": {"message": "Quota exceeded: 15 requests a second", "code": "rate_limit"}}
    endpoint.faults = twice_per_chunk(Status(429, body=body))
    assert run_lanes(endpoint).words == all_heard(CHUNKS)


def test_a_wrong_key_costs_one_post_per_lane(endpoint: CloudRu) -> None:
    lanes = run_lanes(endpoint, 4, key="wrong")
    assert {type(result) for result in lanes.results.values()} == {EndpointRefused}
    assert len(endpoint.received) == 4


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_the_key_never_follows_a_redirect(
    code: int, endpoint: CloudRu, monkeypatch: pytest.MonkeyPatch
) -> None:
    with CloudRu() as other:
        location = f"{other.base_url}/audio/transcriptions"
        error, _ = one(endpoint, Status(code, {"Location": location}))
        assert isinstance(error, EndpointRefused)
        assert "base URL" in str(error)
        assert other.connections_opened == 0


def test_messages_of_every_shape_are_shown(endpoint: CloudRu) -> None:
    """And an HTML page is not."""
    shapes: dict[Any, str] = {
        b'{"error": {"message": "m1"}}': "422: m1",
        b'{"detail": "m2"}': "422: m2",
        b'{"message": "m3", "code": 7}': "422: m3",
        b'{"error": "m4"}': "422: m4",
        b"<html>m5</html>": "422: an HTML page (a gateway's?)",
        b"m6": "422: an HTML page (a gateway's?)",  # the test endpoint calls all bytes HTML
        b"": "422: an HTML page (a gateway's?)",
    }
    for body, message in shapes.items():
        error, _ = one(endpoint, Status(422, body=body))
        assert isinstance(error, SttbatchError)
        assert str(error) == message
