"""The port of recognition engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import Struct

from sttbatch.core.models import Transcription, Upload
from sttbatch.core.options import RequestOptions


class APIRequest(Struct, frozen=True):
    """One request to a recogniser, answered or not; a row of the ledger's `requests`.

    Attributes:
        at: seconds since the epoch when it began.
        attempt: counted from 1 for each chunk.
        status: HTTP status; None: no answer came (or the engine is not on the network).
        latency_s: from the start of the request to the end of its answer.
        audio_s: seconds of audio sent.
        paid: the answer came, so it is billed.
        maybe_paid: the whole body was sent and no readable answer came.
        rate_wait_s: seconds that it waited for the rate limit before `at`.
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


class Answer(Struct, frozen=True):
    """A transcription and the request that brought it, which is not recorded yet."""

    transcription: Transcription
    request: APIRequest
    response_format: str


NO_SPEECH_PROBABILITY = 0.6
LOG_PROBABILITY = -1.0
"""Whisper's own thresholds: beyond either one, text is improbable."""


def is_unlikely(no_speech_probability: float | None, log_probability: float | None) -> bool:
    """Whether the probabilities that an engine gives for a segment speak against it.

    `log_probability` is the mean over its tokens; None: unknown.
    """
    return (no_speech_probability or 0.0) > NO_SPEECH_PROBABILITY or (
        log_probability is not None and log_probability < LOG_PROBABILITY
    )


FREE_ENGINES = frozenset({"local"})
"""Engines whose requests are never billed."""

RecordRequest = Callable[[APIRequest], Awaitable[None]]


class Engine(Protocol):
    """Transcribes uploads."""

    @property
    def timestamps(self) -> bool:
        """Whether its answers have timestamps."""

    @property
    def longest_s(self) -> float | None:
        """The longest upload that it recognises well, in seconds; None: no limit."""

    def prepare(self) -> None:
        """Begin with what its first answer needs, while a chunk is being cut."""

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        """Transcribe one chunk; failed requests are passed to `record` as they end.

        `stopped` ends every wait for another attempt; a request in flight is finished.

        Raises:
            ChunkError: this chunk got no answer (ChunkTooLarge: smaller pieces may).
            RecordingRefused: the endpoint forbids it.
            RetryLater: the endpoint asks for a wait of more than two minutes.
            EndpointError: nothing more can be sent.
            Stopped: `stopped` was set while it waited.
        """
