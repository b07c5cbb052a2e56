"""What is sent to an endpoint, and the state of a request over its attempts."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from msgspec import field as struct_field

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.options import RetryConfig
from sttbatch.external.cloudru.admission import AdmissionTicket
from sttbatch.external.cloudru.format_choice import FormatChoice
from sttbatch.external.cloudru.http_attempt import HttpAnswer, HttpAttempt
from sttbatch.external.cloudru.retry_policy import RetryDecision

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

AMBIGUOUS_RETRIES = 2
"""Maximum retries after requests that were possibly billed, since each may be billed again."""

STALL_S = 20.0
"""Seconds after which a stalled upload is given up; HTTP/2 hides an early response."""

DEADLINE_BASE_S = 60.0


class RequestLimits(Struct, frozen=True):
    """How often one request is sent, and how long each attempt may take.

    Attributes:
        retries: failures of one request that are retried; those of an outage do not count.
        stall_s: how long an upload may stall.
        deadline_base_s: how long a response may take, besides what the request itself needs.
        waits: before each retry.
    """

    retries: int
    stall_s: float = STALL_S
    deadline_base_s: float = DEADLINE_BASE_S
    waits: RetryConfig = struct_field(default_factory=RetryConfig)


class EndpointRequest(Protocol[T_co]):
    """What is asked; it may be sent several times.

    Attributes:
        path: of the method, below the base URL.
        chosen_by: the options and variables that choose its model, for messages.
        audio_s: seconds of audio in it, which some rate limits count.
        work_s: how many seconds the response may take beyond `RequestLimits.deadline_base_s`.
        max_bytes: the maximum size of a response with status 200, decoded.
        formats: in which the response is requested; the `format_index` of its methods counts these.
    """

    @property
    def path(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def chosen_by(self) -> str: ...
    @property
    def audio_s(self) -> float: ...
    @property
    def work_s(self) -> float: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def formats(self) -> FormatChoice: ...

    def check(self, format_index: int) -> None:
        """Raises ChunkError if it is not to be sent in this format."""

    def content(self, format_index: int) -> AbstractContextManager[Mapping[str, Any]]:
        """Its body, as arguments of httpx; raises ChunkHindered if a file cannot be read."""

    def understand(self, answer: HttpAnswer, mask: Callable[[str], str]) -> T_co | RetryDecision:
        """Parse a response of whatever status, in a thread; raises nothing.

        `mask` removes the key from decoded text, as some servers repeat it.
        """


class EndpointAnswer(Struct, Generic[T], frozen=True):
    """The result of a request, which is not recorded yet, and the format it was given in."""

    result: T
    request: APIRequest
    format_index: int


class Retry(Exception):
    """An attempt failed; another one may succeed after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(slots=True)
class RequestState(Generic[T]):
    """The state of one request over its attempts.

    Attributes:
        counted: failures that use up retries; those of an outage do not.
        hindered: the latest attempt was refused like all others, by a rate limit or by an endpoint
            that is up and answers nothing but 503.
        ambiguous: number of failed attempts that were possibly billed.
        http, format_index: of the latest attempt.
        reconnected: the one free retry, after a stale connection, is used up.
        fresh: the next attempt opens a new connection.
        http1: the next attempt uses HTTP/1.1, which shows an early response.
    """

    asked: EndpointRequest[T]
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
        self.ticket = AdmissionTicket(self.asked.audio_s, self.stopped)

    def begin_attempt(self, http: HttpAttempt, format_index: int) -> None:
        self.http, self.format_index = http, format_index
        self.hindered = False
        self.attempt += 1
        self.began_at, self.began = time.time(), time.monotonic()

    def api_request(self, status: int | None, **facts: Any) -> APIRequest:
        """The record of the latest attempt, for the ledger."""
        return APIRequest(
            at=self.began_at,
            attempt=self.attempt,
            status=status,
            latency_s=time.monotonic() - self.began,
            sent_bytes=self.http.sent_bytes,
            audio_s=self.asked.audio_s,
            rate_wait_s=self.ticket.rate_wait_s,
            **facts,
        )

    async def record_attempt(self, status: int | None, **facts: Any) -> None:
        """Record a failed attempt."""
        await self.record(self.api_request(status, **facts))
