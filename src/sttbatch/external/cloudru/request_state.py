"""What is asked of the endpoint for one chunk, and how far that has got."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.models import Upload
from sttbatch.core.options import RequestOptions
from sttbatch.external.cloudru.admission import Pass
from sttbatch.external.cloudru.http_attempt import Exchange

# What is asked for, best first; a server that refuses one gets the next for the rest of the run.
FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("verbose_json", ("word", "segment")),
    ("verbose_json", ()),
    ("json", ()),
)


class Retry(Exception):
    """This attempt brought nothing; another may, after `wait_s`."""

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(slots=True)
class Ask:
    """One chunk's state over its attempts.

    Attributes:
        counted: failures that use up retries; outages' do not.
        ambiguous: uploads that may have been billed for nothing.
        reconnected: its one free try, after a connection that went stale, is used up.
        fresh: the next attempt opens a connection of its own.
        http1: the next attempt goes over HTTP/1.1, to learn what an early answer said.
    """

    upload: Upload
    options: RequestOptions
    record: RecordRequest
    pass_: Pass = field(init=False)
    idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 0
    begun_at: float = 0.0
    begun: float = 0.0
    counted: int = 0
    ambiguous: int = 0
    reconnected: bool = False
    fresh: bool = False
    http1: bool = False

    def __post_init__(self) -> None:
        self.pass_ = Pass(self.upload.duration_s)

    def begin(self) -> None:
        """Another attempt; its clock runs from here."""
        self.attempt += 1
        self.begun_at, self.begun = time.time(), time.monotonic()

    def post(self, exchange: Exchange, status: int | None, **facts: Any) -> APIRequest:
        return APIRequest(
            at=self.begun_at,
            attempt=self.attempt,
            status=status,
            latency_s=time.monotonic() - self.begun,
            sent_bytes=exchange.sent_bytes,
            audio_s=self.upload.duration_s,
            rate_wait_s=self.pass_.rate_wait_s,
            **facts,
        )


def fields_of(options: RequestOptions, format_asked: int) -> dict[str, Any]:
    """The form's plain fields; `format_asked` is an index into FORMATS."""
    name, granularities = FORMATS[format_asked]
    fields: dict[str, Any] = {"model": options.model, "response_format": name}
    if granularities:
        fields["timestamp_granularities[]"] = list(granularities)
    if options.language is not None:
        fields["language"] = options.language
    if options.prompt is not None:
        fields["prompt"] = options.prompt
    if options.temperature is not None:
        fields["temperature"] = str(options.temperature)
    return fields


def format_name(index: int) -> str:
    name, granularities = FORMATS[index]
    return f"{name} with word times" if granularities else name
