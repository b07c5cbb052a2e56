"""Whatever happens to connections: all words come, and what may have been paid is counted."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sttbatch.core.errors import ChunkError, ChunkTooLarge
from tests.cloudru import (
    CloudRu,
    Fault,
    Fin,
    Goaway,
    Hang,
    ResetStream,
    Status,
    always,
    before_body,
    twice_per_chunk,
)

from .lanes import (
    MIB,
    SHORT_STALL_S,
    STALL_S,
    Lanes,
    all_heard,
    assert_one_request_a_connection,
    lanes_to,
    run_lanes,
    upload,
)

CHUNKS = 8
LATE_S = 2.0
LARGE = 3 * MIB  # three times what an h2 stream takes before the endpoint reads


FAULTS: tuple[Fault, ...] = (
    Goaway(),
    Goaway(after_body=True),
    ResetStream(),
    ResetStream(after_body=True, error_code=7),
    Fin(),
    Fin(after_body=True),
)
VERSIONS = {"h2": ("h2", "http/1.1"), "h1": ("http/1.1",)}


@pytest.mark.parametrize(
    ("fault", "size", "versions"),
    [
        pytest.param(
            fault,
            size,
            versions,
            id=f"{name}-{size}-{fault!r}",
            # To HTTP/1.1 all of them are the end of the connection.
            marks=[]
            if size == LARGE and (name == "h2" or isinstance(fault, Fin))
            else [pytest.mark.slow],
        )
        for name, versions in VERSIONS.items()
        for size in (2000, LARGE)
        for fault in FAULTS
    ],
)
def test_each_fault_twice_per_chunk(
    fault: Fault, size: int, versions: tuple[str, ...], endpoint: CloudRu
) -> None:
    """At most 3.3 posts a chunk, all under one key; 'maybe paid' when the whole body was sent."""
    endpoint.http_versions = versions
    endpoint.go_away()
    endpoint.come_back()
    endpoint.faults = twice_per_chunk(fault)
    count = CHUNKS if size < MIB else 4
    # A stream that is reset early takes no more of its body, and says nothing.
    stands_still = isinstance(fault, ResetStream) and fault.before_body
    lanes = run_lanes(
        endpoint, count, size=size, stall_s=SHORT_STALL_S if stands_still else STALL_S
    )
    assert lanes.words == all_heard(count)
    received = endpoint.received
    assert len(received) <= 3.3 * count
    assert len({post.idempotency_key for post in received}) == count
    assert_one_request_a_connection(endpoint)
    lost = [post for post in lanes.all_posts if post.status is None]
    if not fault.before_body:
        assert len(lost) == 2 * count
        assert all(post.maybe_paid for post in lost)
    elif size > MIB:
        assert not any(post.maybe_paid for post in lost if post.sent_bytes < size)
        assert any(not post.maybe_paid for post in lost)
    assert all(post.sent_bytes > size for post in lost if post.maybe_paid)
    assert not any(post.paid for post in lost)


def test_no_third_retry_of_what_may_have_been_paid(endpoint: CloudRu) -> None:
    endpoint.faults = always(Fin(after_body=True))
    lanes = run_lanes(endpoint, 1, retries=9)
    with pytest.raises(ChunkError, match="after 3 attempts"):
        assert lanes.words
    assert len(endpoint.received) == 3
    assert len({post.idempotency_key for post in endpoint.received}) == 1
    assert [post.maybe_paid for post in lanes.all_posts] == [True] * 3


def test_a_new_ask_has_a_new_key(endpoint: CloudRu) -> None:
    async def twice() -> None:
        async with lanes_to(endpoint) as lanes:
            await lanes.send(0)
            await lanes.send(0)

    asyncio.run(twice())
    assert len({post.idempotency_key for post in endpoint.received}) == 2


def test_an_answer_that_never_comes_has_a_deadline(endpoint: CloudRu) -> None:
    """It counts from the end of the upload, and the connection is not used again."""
    endpoint.faults = twice_per_chunk(Hang())
    lanes = run_lanes(endpoint, 4, deadline_base_s=0.5)  # and a second for the second of audio
    assert lanes.words == all_heard(4)
    assert len(endpoint.received) == 12
    hung = [post for post in lanes.all_posts if post.status is None]
    assert all(post.maybe_paid and "no answer came" in (post.error or "") for post in hung)
    assert_one_request_a_connection(endpoint)
    assert lanes.warnings == []


def test_a_deadline_that_passes_counts_on_a_used_connection_too(endpoint: CloudRu) -> None:
    """It did not go stale while nobody looked: it took the upload, which may be paid for."""
    endpoint.faults = lambda post: Hang() if post.number == 1 else None

    async def sending() -> Lanes:
        async with lanes_to(endpoint, retries=0, deadline_base_s=0.5) as lanes:
            await lanes.send(0)
            await lanes.send(1)
            return lanes

    lanes = asyncio.run(sending())
    assert isinstance(lanes.results[1], ChunkError)
    assert [post.connection for post in endpoint.received] == [1, 1]


def test_an_upload_that_moves_has_no_deadline(endpoint: CloudRu) -> None:
    """On a slow line it takes longer than an answer may; it would be paid for and thrown away."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        whole = left = int(head.partition("content-length: ")[2].partition("\r")[0])
        while left:
            left -= len(await reader.read(min(left, 64 * 1024)))
            # Slow, but for the end, which the client has written long before it is read.
            if left > whole // 2:
                await asyncio.sleep(0.02)
        answer = b'{"text": "0000"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()
        writer.close()

    async def sending() -> Lanes:
        # A socket that takes in little makes the client wait.
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        server = await asyncio.start_server(slow, sock=listener, limit=64 * 1024)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/"
        async with server, lanes_to(endpoint, base_url=url, deadline_base_s=0) as lanes:
            await lanes.send(0, upload(0, size=20 * MIB, duration_s=LATE_S))
        return lanes

    lanes = asyncio.run(sending())
    assert lanes.words == all_heard(1)
    (post,) = lanes.all_posts
    assert post.latency_s > LATE_S


@pytest.mark.parametrize("code", [413, 429, 503])
def test_an_early_answer_is_learned_over_http1(code: int, endpoint: CloudRu) -> None:
    """HTTP/2 loses what is answered while a large body goes out."""
    endpoint.faults = before_body(
        lambda post: Status(code, early=True) if post.attempt < 2 else None
    )
    lanes = run_lanes(endpoint, 1, size=LARGE, stall_s=SHORT_STALL_S)
    first, second, *rest = endpoint.received
    assert (first.http_version, second.http_version) == ("2", "1.1")
    statuses = [post.status for post in lanes.posts[0]]
    assert statuses[:2] == [None, code]
    assert not any(post.maybe_paid for post in lanes.all_posts)
    if code == 413:
        assert isinstance(lanes.results[0], ChunkTooLarge)
    else:
        assert lanes.words == all_heard(1)
        assert [post.http_version for post in rest] == ["2"]


def test_early_answers_that_break_the_connection(endpoint: CloudRu) -> None:
    """A TCP reset may overtake the answer on HTTP/1.1, too."""
    endpoint.faults = twice_per_chunk(Status(429, early=True, reset=True))
    lanes = run_lanes(endpoint, 4, size=LARGE, stall_s=SHORT_STALL_S)
    assert lanes.words == all_heard(4)
    assert len(endpoint.received) <= 3.3 * 4


def test_a_lost_temporary_file_is_the_chunks_fault(endpoint: CloudRu) -> None:
    async def sending() -> Lanes:
        async with lanes_to(endpoint) as lanes:
            whole = upload(0)
            await lanes.send(0, type(whole)("0.mp3", "audio/mpeg", "mp3", 1, 5, path="/gone"))
            await lanes.send(1)
            return lanes

    lanes = asyncio.run(sending())
    assert isinstance(lanes.results[0], ChunkError)
    assert lanes.posts[0] == []
    assert not isinstance(lanes.results[1], Exception)
