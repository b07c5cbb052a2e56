"""HttpAttempt: one HTTP attempt at a chunk's request; RequestState: its state over all attempts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import h2.exceptions
import httpx
from msgspec import Struct

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.errors import ChunkHindered, UsageError
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.bounded_body import Body, read_body
from sttbatch.external.cloudru.admission import AdmissionTicket
from sttbatch.external.cloudru.connections import CONNECT_TIMEOUT_S, Connection

# Exceptions of lost connections. httpcore lets the last two pass now and then: TLS that breaks off,
# and invalid frames while a response is read.
FAULTS = (httpx.RequestError, httpx.StreamError, TimeoutError, OSError, h2.exceptions.H2Error)

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
        reused: the connection was not opened for this request.
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
        upload: Upload,
        max_bytes: int,
    ) -> HttpAnswer:
        """Send the request and read the response, up to `max_bytes` if its status is 200.

        Raises:
            one of FAULTS: no response came.
            ChunkHindered: the file could not be read.
            UsageError: the URL is invalid.
        """
        client = self.connection.client
        try:
            content = upload.open()
        except OSError as error:
            raise _unreadable(error) from error
        # A file object, as httpx slices bytes in quadratic time.
        with content:
            file = (upload.filename, content, upload.content_type)
            try:
                request = client.build_request(
                    "POST", url, data=fields, files={"file": file}, headers=headers,
                    extensions={"trace": self._trace},
                )  # fmt: skip
            except httpx.InvalidURL as error:
                raise UsageError(f"the base URL is invalid: {error}") from error
            assert isinstance(request.stream, httpx.SyncByteStream)
            self._body = request.stream
            request.stream = self
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S + self._stall_s) as self._limit:
                    response = await client.send(request, stream=True)
                    try:
                        limit = max_bytes if response.status_code == 200 else MAX_ERROR_BYTES
                        body = await read_body(response, limit)
                    finally:
                        await response.aclose()
                return HttpAnswer(
                    response.status_code, response.headers, response.http_version, body
                )
            finally:
                # A reference cycle of request, response and stream would keep the chunk's bytes
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
        assert self._blocks is not None
        try:
            block = next(self._blocks, None)
        except OSError as error:
            raise _unreadable(error) from error
        self.complete = block is None
        wait_s = self._response_s if self.complete else self._stall_s
        self._limit.reschedule(asyncio.get_running_loop().time() + wait_s)
        if block is None:
            self._unconfirmed_bytes = 0
            raise StopAsyncIteration
        self._unconfirmed_bytes = len(block)
        return block

    async def _trace(self, event: str, _: Mapping[str, Any]) -> None:
        # A proxy is addressed in HTTP/1.1 first, so any HTTP/2 event counts.
        if event == "connection.connect_tcp.started":
            # After the body was begun this is httpcore's own retry on a stale connection.
            self.reused = self._blocks is not None
        elif event.startswith("http2."):
            self.spoke_http2 = True


# Response formats, the best first; if a server refuses one, the next is requested.
FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("verbose_json", ("word", "segment")),
    ("verbose_json", ()),
    ("json", ()),
)


class Retry(Exception):
    """An attempt failed; another one may succeed after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(slots=True)
class RequestState:
    """The state of one chunk's request over its attempts.

    Attributes:
        counted: failures that use up retries; those of an outage do not.
        hindered: the latest attempt was refused like all others, by a rate limit or by an endpoint
            that is up and answers nothing but 503.
        ambiguous: number of failed uploads that were possibly billed.
        http, format_index: of the latest attempt; the latter is an index into FORMATS.
        reconnected: the one free retry, after a stale connection, is used up.
        fresh: the next attempt opens a new connection.
        http1: the next attempt uses HTTP/1.1, which shows an early response.
    """

    upload: Upload
    options: RequestOptions
    record: RecordRequest
    stopped: asyncio.Event
    ticket: AdmissionTicket = field(init=False)
    idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 0
    http: HttpAttempt = field(init=False)
    format_index: int = 0
    began_at: float = 0.0
    began: float = 0.0
    counted: int = 0
    hindered: bool = False
    ambiguous: int = 0
    reconnected: bool = False
    fresh: bool = False
    http1: bool = False

    def __post_init__(self) -> None:
        self.ticket = AdmissionTicket(self.upload.duration_s, self.stopped)

    def begin_attempt(self, http: HttpAttempt, format_index: int) -> None:
        self.http, self.format_index = http, format_index
        self.hindered = False
        self.attempt += 1
        self.began_at, self.began = time.time(), time.monotonic()

    def form_fields(self) -> dict[str, Any]:
        name, granularities = FORMATS[self.format_index]
        fields = {
            "model": self.options.model,
            "response_format": name,
            "timestamp_granularities[]": list(granularities) or None,
            "language": self.options.language,
            "prompt": self.options.prompt,
            "temperature": self.options.temperature,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def api_request(self, status: int | None, **facts: Any) -> APIRequest:
        """The record of the latest attempt, for the ledger."""
        return APIRequest(
            at=self.began_at,
            attempt=self.attempt,
            status=status,
            latency_s=time.monotonic() - self.began,
            sent_bytes=self.http.sent_bytes,
            audio_s=self.upload.duration_s,
            rate_wait_s=self.ticket.rate_wait_s,
            **facts,
        )

    async def record_attempt(self, status: int | None, **facts: Any) -> None:
        """Record a failed attempt."""
        await self.record(self.api_request(status, **facts))


def _unreadable(error: OSError) -> ChunkHindered:
    return ChunkHindered(f"the upload's temporary file cannot be read: {error}")


def format_name(index: int) -> str:
    name, granularities = FORMATS[index]
    return f"{name} with word times" if granularities else name
