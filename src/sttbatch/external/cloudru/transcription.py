"""CloudRuTranscription: the engine that sends chunks to an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import tenacity
from msgspec import Struct, field

from sttbatch.core import errors
from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.models import Transcription, Upload
from sttbatch.core.options import API_BODY_LIMIT_BYTES, RequestOptions, RetryConfig
from sttbatch.external.cloudru.admission import AdmissionControl, unless_stopped
from sttbatch.external.cloudru.answer_reading import max_answer_bytes, understand
from sttbatch.external.cloudru.connections import ConnectionPool
from sttbatch.external.cloudru.http_attempt import (
    FAULTS,
    FORMATS,
    HttpAttempt,
    RequestState,
    Retry,
    format_name,
)
from sttbatch.external.cloudru.model_check import ModelCheck, concerns_model
from sttbatch.external.cloudru.retry_policy import Action, RetryDecision
from sttbatch.external.secret import Secret
from sttbatch.external.tls import certificate_error

AMBIGUOUS_RETRIES = 2
"""Maximum retries after uploads that were possibly billed, since each may be billed again."""

STALL_S = 20.0
"""Seconds after which a stalled upload is given up; HTTP/2 hides an early response."""

DEADLINE_BASE_S = 60.0
DEADLINE_PER_AUDIO_S = 1.0
MULTIPART_FRAME_BYTES = 16 * 1024
PIECE_WITHOUT_TIMES_S = 30.0
SIMPLER_FORMAT_FOR_S = 600.0
"""Seconds until the full format is requested again, as a process may live for months."""


class RequestLimits(Struct, frozen=True):
    """How often one chunk is sent, and how long each request may take.

    Attributes:
        retries: failures of one chunk that are retried; those of an outage do not count.
        stall_s: how long an upload may stall.
        deadline_base_s: how long a response may take, plus one second per second of audio.
        waits: before each retry.
    """

    retries: int
    stall_s: float = STALL_S
    deadline_base_s: float = DEADLINE_BASE_S
    waits: RetryConfig = field(default_factory=RetryConfig)


class CloudRuTranscription:
    """An `Engine` over HTTP; `warn` is called once when a response format or HTTP/2 is given up."""

    longest_s = None

    def __init__(
        self,
        base_url: str,
        key: Secret,
        admission: AdmissionControl,
        pool: ConnectionPool,
        limits: RequestLimits,
        warn: Callable[[str], None],
        models: ModelCheck | None = None,
    ) -> None:
        self._url = base_url.rstrip("/") + "/audio/transcriptions"
        self._key = key
        self._admission = admission
        self._pool = pool
        self._limits = limits
        self._warn = warn
        self._models = models or ModelCheck(base_url, key.masked)
        self._served_models: set[str] = set()
        self._format = 0
        self._simpler_until = 0.0
        self._format_warned = 0
        self._format_refusal = ""

    @property
    def timestamps(self) -> bool:
        return FORMATS[self._format][0] != "json"

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._admission.aclose()

    async def transcribe(
        self,
        upload: Upload,
        options: RequestOptions,
        record: RecordRequest,
        stopped: asyncio.Event,
    ) -> Answer:
        overhead = MULTIPART_FRAME_BYTES + len((options.prompt or "").encode())
        if upload.size_bytes + overhead > API_BODY_LIMIT_BYTES:
            raise errors.ChunkTooLarge(
                f"its {upload.size_bytes:,} bytes exceed the endpoint's limit"
            )
        state = RequestState(upload, options, record, stopped)
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Retry),
            stop=lambda _: (
                state.counted > self._limits.retries
                or state.ambiguous > AMBIGUOUS_RETRIES
                or stopped.is_set()
            ),
            wait=_wait_s,
            sleep=lambda seconds: unless_stopped(state.ticket, asyncio.sleep(seconds)),
            reraise=True,
        )
        try:
            return await attempts(self._attempt, state)
        except Retry as error:
            if stopped.is_set():
                raise errors.Stopped from error
            kind = errors.ChunkHindered if state.hindered else errors.ChunkError
            raise kind(f"{error} (after {state.attempt} attempts)") from error
        finally:
            self._admission.release(state.ticket)

    async def _attempt(self, state: RequestState) -> Answer:
        await self._models.check_provider(state.options.model)
        await self._pool.prepare()
        await self._admission.admit(state.ticket)
        if not self.timestamps and state.upload.duration_s > PIECE_WITHOUT_TIMES_S:
            raise errors.ChunkTooLarge(
                "its answer would have no timestamps", max_piece_s=PIECE_WITHOUT_TIMES_S
            )
        connection = await self._pool.take(http1=state.http1, fresh=state.fresh)
        response_s = self._limits.deadline_base_s + DEADLINE_PER_AUDIO_S * state.upload.duration_s
        http = HttpAttempt(connection, stall_s=self._limits.stall_s, response_s=response_s)
        if self._format and time.monotonic() >= self._simpler_until:
            self._format = self._format_warned = 0
        state.begin_attempt(http, self._format)
        try:
            answer = await http.send(
                self._url,
                headers={
                    "Authorization": f"Bearer {self._key.reveal()}",
                    "Idempotency-Key": state.idempotency_key,
                },
                fields=state.form_fields(),
                upload=state.upload,
                max_bytes=max_answer_bytes(state.upload.duration_s),
            )
        except FAULTS as error:
            raise await self._after_fault(state, error) from error
        except BaseException as error:
            # Cancelled, or a fault in a library: the state of the connection is unknown.
            self._pool.retire(connection)
            if isinstance(error, errors.SttbatchError):
                raise
            is_cancelled = isinstance(error, asyncio.CancelledError)
            reason = "cancelled" if is_cancelled else self._key.masked(repr(error))
            await state.record_attempt(None, error=reason, maybe_paid=http.complete)
            if not isinstance(error, Exception):
                raise
            raise errors.ChunkError(f"the answer cannot be read: {reason}") from error
        if answer.body.is_whole:
            self._pool.give_back(connection, answer.http_version)
        else:
            self._pool.retire(connection)
        state.fresh = state.http1 = False
        request_id = self._key.masked(answer.headers.get("x-request-id", "")) or None
        try:
            # A large answer takes a while, in which signals and other lanes are heard.
            understood = await asyncio.to_thread(
                understand, answer, state.upload.duration_s, self._key.masked
            )
        except asyncio.CancelledError:
            is_maybe_paid = answer.status == 200
            await state.record_attempt(
                answer.status, error="cancelled", maybe_paid=is_maybe_paid, request_id=request_id
            )
            raise
        if isinstance(understood, Transcription):
            return self._after_success(state, understood, request_id)
        raise await self._after_refusal(state, understood, request_id)

    async def _after_fault(self, state: RequestState, error: Exception) -> Exception:
        """Record a request without a response, and return the exception to raise."""
        http = state.http
        reason = self._key.masked(f"{type(error).__name__}: {error}".removesuffix(": "))
        is_late = isinstance(error, TimeoutError) and http.complete
        # Slow servers and stale connections are no faults of HTTP/2.
        against_http2 = http.spoke_http2 and not http.reused and not is_late
        gave_up = self._pool.retire(http.connection, http2_failed=against_http2)
        if isinstance(error, TimeoutError):
            waited_for = "no answer came" if http.complete else "the upload stood still"
            reason = f"{waited_for}, given up after {time.monotonic() - state.began:.0f} s"
        await state.record_attempt(None, error=reason, maybe_paid=http.complete)
        if gave_up:
            self._warn("HTTP/2 failed on three connections in a row; continuing with HTTP/1.1")
        if (untrusted := certificate_error(error)) is not None:
            return errors.EndpointUnreachable(untrusted)
        state.ambiguous += http.complete
        state.fresh = True
        # HTTP/2 hides an early response to an upload.
        hidden = http.spoke_http2 and not http.complete
        state.http1 = hidden and "ConnectionTerminated" not in reason
        if http.reused and not is_late and not state.reconnected:
            # The server closed the idle connection, which is no failure of the endpoint.
            state.reconnected = True
            return Retry(reason)
        is_outage = self._admission.failed(state.ticket, reason, answered=False)
        return self._retry(state, reason, free=is_outage)

    def _after_success(
        self, state: RequestState, transcription: Transcription, request_id: str | None
    ) -> Answer:
        format_index = state.format_index
        self._admission.succeeded(state.ticket)
        self._served_models.add(state.options.model)
        if format_index > self._format_warned:
            self._format_warned = format_index
            self._warn(
                f"the endpoint refuses {format_name(0)} ({self._format_refusal}); continuing with "
                f"{format_name(format_index)}"
            )
        api_request = state.api_request(200, paid=True, request_id=request_id)
        return Answer(transcription, api_request, FORMATS[format_index][0])

    async def _after_refusal(
        self, state: RequestState, decision: RetryDecision, request_id: str | None
    ) -> Exception:
        """Record a response without a transcription, and return the exception to raise."""
        # Other lanes must know before it is recorded, as recording may wait.
        free = False
        if decision.is_outage:
            is_503 = decision.status == 503
            free = self._admission.failed(
                state.ticket, decision.message, answered=True, is_503=is_503
            )
        else:
            self._admission.succeeded(state.ticket)
        refusing = decision.is_outage and self._admission.refusing
        state.hindered = refusing or decision.action is Action.SLOW_DOWN
        if decision.action is Action.SLOW_DOWN:
            # All lanes have to wait, so admission control does.
            wait_s = max(decision.hint_s, self._limits.waits.wait_s(state.counted + 1))
            await self._admission.slow_down(wait_s)
        elif free:
            # The waits of an outage may be shorter than the server's hint.
            await self._admission.slow_down(decision.hint_s)
        message = decision.message
        maybe_paid = decision.status == 200
        await state.record_attempt(
            decision.status, error=message, maybe_paid=maybe_paid, request_id=request_id
        )
        state.ambiguous += maybe_paid
        model = state.options.model
        if model not in self._served_models and concerns_model(decision, model):
            return await self._models.unknown(model, message)
        if refusing:
            message = f"the endpoint is up and refuses these requests: {message}"
        match decision.action:
            case Action.RETRY_LATER:
                back = time.localtime(time.time() + decision.hint_s)
                at = time.strftime("%Y-%m-%d %H:%M", back)
                return errors.RetryLater(f"{message}; the endpoint asks to come back at {at}")
            case Action.SIMPLER_FORMAT:
                return self._after_format(message, state.format_index)
            case Action.RETRY | Action.SLOW_DOWN | Action.UNREADABLE:
                return self._retry(state, message, decision.hint_s, free=free)
        return _FINAL[decision.action](message)

    def _after_format(self, message: str, format_index: int) -> Exception:
        """Use the next, simpler format from now on, as the server refuses this one."""
        if self._format == format_index:
            if format_index + 1 == len(FORMATS):
                return errors.ChunkError(message)
            self._format += 1
            self._simpler_until = time.monotonic() + SIMPLER_FORMAT_FOR_S
            self._format_refusal = message
        return Retry(message)

    def _retry(
        self, state: RequestState, reason: str, hint_s: float = 0.0, *, free: bool = False
    ) -> Retry:
        # In an outage admission control waits.
        if free:
            return Retry(reason)
        state.counted += 1
        return Retry(reason, max(hint_s, self._limits.waits.wait_s(state.counted)))


_FINAL: Mapping[Action, Callable[[str], errors.SttbatchError]] = {
    Action.REFUSED: lambda message: errors.EndpointRefused(
        f"the endpoint refuses requests: {message}"
    ),
    Action.FORBIDDEN: errors.RecordingRefused,
    Action.SPLIT_CHUNK: errors.ChunkTooLarge,
    Action.FAIL_CHUNK: errors.ChunkRefused,
    Action.GIVE_UP: errors.ChunkError,
}
"""The errors of decisions after which retrying will not help."""


def _wait_s(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.wait_s if isinstance(error, Retry) else 0.0
