"""The seam between a chunk and whatever recognises it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from sttbatch.core.models import Transcription, Upload
from sttbatch.core.options import RequestOptions


@dataclass(frozen=True, slots=True)
class APIRequest:
    """One request to a recogniser, answered or not; a row of the ledger's `requests`.

    Attributes:
        at: seconds since the epoch when it began.
        attempt: counted from 1 for each chunk.
        status: HTTP status; None: no answer came (or the engine is not on the network).
        latency_s: from the begin of the request to the end of its answer.
        audio_s: seconds of audio sent.
        paid: the answer came, so it is billed.
        maybe_paid: the whole body was sent and no readable answer came.
        rate_wait_s: how long it waited for the rate limit before it began.
    """

    at: float
    attempt: int
    status: int | None
    latency_s: float
    sent_bytes: int
    audio_s: float
    paid: bool = False
    maybe_paid: bool = False
    error: str | None = None
    request_id: str | None = None
    rate_wait_s: float = 0.0

    @property
    def throttled(self) -> bool:
        return self.status == 429


@dataclass(frozen=True, slots=True)
class Answer:
    """A transcription, and the request that it answers, which is not recorded yet."""

    transcription: Transcription
    request: APIRequest
    response_format: str


FREE_ENGINES = frozenset({"local"})
"""Engines whose requests nobody bills, whatever becomes of them."""

RecordRequest = Callable[[APIRequest], Awaitable[None]]


class Engine(Protocol):
    """Chunk and options in, segments out."""

    @property
    def timestamps(self) -> bool:
        """Whether answers say when things were said."""

    @property
    def longest_s(self) -> float | None:
        """Seconds of audio that it hears best at a time; None: any length will do."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        """Recognise one chunk; requests that failed are given to `record` as they end.

        `stopped` ends every wait for another attempt; what is in flight is finished.

        Raises:
            ChunkError: this chunk got no answer (ChunkTooLarge: smaller pieces may).
            RecordingRefused: the endpoint forbids it.
            RetryLater: the endpoint asks for a wait too long to sit out.
            EndpointError: nothing more can be sent.
            Stopped: `stopped` was set while it waited.
        """

    async def aclose(self) -> None: ...
