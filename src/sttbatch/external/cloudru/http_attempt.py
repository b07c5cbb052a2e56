"""One HTTP request on one connection, and what is known of it when no response comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, BinaryIO

import h2.exceptions
import httpx

from sttbatch.core.errors import ChunkError, UsageError
from sttbatch.external.cloudru.connections import CONNECT_TIMEOUT_S, Connection

# What a lost connection looks like. httpcore lets the last two through now and then: TLS that
# breaks off, and frames that make no sense while a response is being read.
FAULTS = (httpx.RequestError, httpx.StreamError, TimeoutError, OSError, h2.exceptions.H2Error)


class HttpAttempt(httpx.AsyncByteStream):
    """The body of a request while it is sent, with a deadline that moves along with it.

    Args:
        stall_s: how long the upload may stand still.
        response_s: how long the response may take once the whole body was sent. An upload that
            moves has no other deadline: on a slow line it would be thrown away when it is done.

    Attributes:
        sent_bytes: how much of the body was written to the connection.
        complete: the whole body was written, so it may have been billed.
        reused: the connection had served a request before and was not opened for this one.
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
        fields: Mapping[str, Any],
        file: tuple[str, BinaryIO, str],
    ) -> httpx.Response:
        """Send the request and wait for the whole response.

        Raises:
            one of FAULTS: no response came.
            ChunkError: the file could not be read.
            UsageError: the URL is invalid.
        """
        client = self.connection.client
        try:
            request = client.build_request(
                "POST", url, data=fields, files={"file": file}, headers=headers,
                extensions={"trace": self._trace},
            )  # fmt: skip
        except httpx.InvalidURL as error:
            raise UsageError(f"the base URL cannot be used: {error}") from error
        assert isinstance(request.stream, httpx.SyncByteStream)
        self._body = request.stream
        request.stream = self
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + self._stall_s) as self._limit:
                return await client.send(request)
        finally:
            # Request, response and stream refer to each other, and would keep the chunk's bytes
            # until the garbage collector comes by.
            del self._body
            self._blocks = iter(())

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._blocks is not None:
            # httpcore sends again by itself what a GOAWAY left out; but each request is counted.
            raise httpx.RemoteProtocolError("the connection ended before this request was served")
        self._blocks = iter(self._body)
        return self

    async def __anext__(self) -> bytes:
        # Asked for the next block, so the last one is written.
        self.sent_bytes += self._unconfirmed_bytes
        assert self._blocks is not None
        try:
            block = next(self._blocks, None)
        except OSError as error:
            raise ChunkError(f"the upload's temporary file cannot be read: {error}") from error
        self.complete = block is None
        wait_s = self._response_s if self.complete else self._stall_s
        self._limit.reschedule(asyncio.get_running_loop().time() + wait_s)
        if block is None:
            self._unconfirmed_bytes = 0
            raise StopAsyncIteration
        self._unconfirmed_bytes = len(block)
        return block

    async def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        # Through a proxy HTTP/1.1 is spoken first, so what counts is whether HTTP/2 came at all.
        if event == "connection.connect_tcp.started":
            # Once the body was begun it is httpcore's own second try, on a connection gone stale.
            self.reused = self._blocks is not None
        elif event.startswith("http2."):
            self.spoke_http2 = True
