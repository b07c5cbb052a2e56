"""HttpAttempt: one HTTP attempt at a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import h2.exceptions
import httpx
from msgspec import Struct

from sttbatch.core.errors import ChunkHindered, UsageError
from sttbatch.external.bounded_body import Body, read_body
from sttbatch.external.cloudru.connections import Connection
from sttbatch.external.cloudru.network_streams import CONNECT_TIMEOUT_S

# Exceptions of lost connections. httpcore lets the last two pass now and then: TLS that breaks off,
# and invalid frames while a response is read.
FAULTS = (httpx.RequestError, httpx.StreamError, TimeoutError, OSError, h2.exceptions.H2Error)

BLOCK_BYTES = 16 * 1024
"""The smallest block that is sent: a form has twenty parts, and each would be a frame."""

MAX_ERROR_BYTES = 64 * 1024
"""The maximum size that is read of a body whose status is not 200; messages are shorter."""


class HttpAnswer(Struct, frozen=True):
    """A response, with its body up to the maximum size."""

    status: int
    headers: Mapping[str, str]
    http_version: str
    body: Body


class HttpAttempt(httpx.AsyncByteStream):
    """The body of a request while it is sent, with a deadline that moves with its progress.

    Args:
        stall_s: how long the upload may stall; an upload that progresses has no other deadline.
        response_s: how long the response may take after the whole body was sent.

    Attributes:
        sent_bytes: number of bytes of the body that were written to the connection.
        complete: the whole body was written, so that it may be billed.
        reused: the connection was open before this request.
        spoke_http2: HTTP/2 frames were exchanged on it.
    """

    def __init__(self, connection: Connection, *, stall_s: float, response_s: float) -> None:
        self.sent_bytes = 0
        self.complete = False
        self.reused = True
        self.spoke_http2 = False
        self.connection = connection
        self._stall_s = stall_s
        self._response_s = response_s
        self._blocks: Iterator[bytes] | None = None
        self._unconfirmed_bytes = 0

    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        content: AbstractContextManager[Mapping[str, Any]],
        max_bytes: int,
    ) -> HttpAnswer:
        """Send the request and read the response, up to `max_bytes` if its status is 200.

        `content` is the body, as arguments of httpx, with the files that it needs opened.

        Raises:
            one of FAULTS: no response came.
            ChunkHindered: the file could not be read.
            UsageError: the URL is invalid.
        """
        client = self.connection.client
        with content as body:
            try:
                request = client.build_request(
                    "POST", url, headers=headers, extensions={"trace": self._trace}, **body
                )
            except httpx.InvalidURL as error:
                raise UsageError(
                    f"the base URL is not valid: {error}; fix base_url or STTBATCH_BASE_URL"
                ) from error
            assert isinstance(request.stream, httpx.SyncByteStream)
            self._body = request.stream
            request.stream = self
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S + self._stall_s) as self._limit:
                    response = await client.send(request, stream=True)
                    try:
                        limit = max_bytes if response.status_code == 200 else MAX_ERROR_BYTES
                        answer = await read_body(response, limit)
                    finally:
                        await response.aclose()
                return HttpAnswer(
                    response.status_code, response.headers, response.http_version, answer
                )
            finally:
                # A reference cycle of request, response and stream would keep the body's bytes
                # until the next garbage collection.
                del self._body
                self._blocks = iter(())

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._blocks is not None:
            # After a GOAWAY httpcore would send it again by itself, but each request is recorded.
            raise httpx.RemoteProtocolError("the connection ended before this request was served")
        self._blocks = iter(self._body)
        return self

    async def __anext__(self) -> bytes:
        # The next block is requested once the last one is written.
        self.sent_bytes += self._unconfirmed_bytes
        try:
            block = self._next_block()
        except OSError as error:
            raise unreadable(error) from error
        self.complete = not block
        wait_s = self._response_s if self.complete else self._stall_s
        self._limit.reschedule(asyncio.get_running_loop().time() + wait_s)
        if not block:
            self._unconfirmed_bytes = 0
            raise StopAsyncIteration
        self._unconfirmed_bytes = len(block)
        return block

    def _next_block(self) -> bytes:
        """Some of the body's parts together; empty: there are no more."""
        assert self._blocks is not None
        block = bytearray()
        for part in self._blocks:
            block += part
            if len(block) >= BLOCK_BYTES:
                break
        return bytes(block)

    async def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        # A proxy is addressed in HTTP/1.1 first, so any HTTP/2 event counts.
        if event == "connection.connect_tcp.started":
            # After the body was begun this is httpcore's own retry on a stale connection.
            self.reused = self._blocks is not None or self.connection.is_open_ahead
        elif event.startswith("http2."):
            self.spoke_http2 = True


def unreadable(error: OSError) -> ChunkHindered:
    return ChunkHindered(f"the upload's temporary file cannot be read: {error}")
