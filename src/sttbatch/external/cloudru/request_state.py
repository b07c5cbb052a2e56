"""One chunk's request to the endpoint: its form fields, and its state over all attempts."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.cloudru.admission import AdmissionTicket
from sttbatch.external.cloudru.http_attempt import HttpAttempt

# Response formats, best first; once a server refuses one, the next is requested.
FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("verbose_json", ("word", "segment")),
    ("verbose_json", ()),
    ("json", ()),
)


class Retry(Exception):
    """This attempt brought no transcription; another may, after `wait_s` seconds."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(slots=True)
class RequestState:
    """What is known of one chunk's request over its attempts.

    Attributes:
        counted: failures that use up retries; those of an outage do not.
        ambiguous: uploads that were possibly billed for nothing.
        http, format_index: of the latest attempt; the latter is an index into FORMATS.
        reconnected: its one free retry, after a connection that went stale, is used up.
        fresh: the next attempt opens a connection of its own.
        http1: the next attempt goes over HTTP/1.1, to learn what an early response said.
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
    ambiguous: int = 0
    reconnected: bool = False
    fresh: bool = False
    http1: bool = False

    def __post_init__(self) -> None:
        self.ticket = AdmissionTicket(self.upload.duration_s, self.stopped)

    def begin_attempt(self, http: HttpAttempt, format_index: int) -> None:
        """Begin another attempt; its latency counts from here."""
        self.http, self.format_index = http, format_index
        self.attempt += 1
        self.began_at, self.began = time.time(), time.monotonic()

    def form_fields(self) -> dict[str, Any]:
        """The plain fields of the latest attempt's form."""
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
        """Record an attempt that brought no transcription."""
        await self.record(self.api_request(status, **facts))


def format_name(index: int) -> str:
    name, granularities = FORMATS[index]
    return f"{name} with word times" if granularities else name
