"""Endpoint: sends requests of any kind to an OpenAI-compatible API until it answers or refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tenacity

from sttbatch.core import errors
from sttbatch.core.engine import RecordRequest
from sttbatch.core.threads import computed
from sttbatch.external.cloudru.admission import AdmissionControl, unless_stopped
from sttbatch.external.cloudru.connections import ConnectionPool
from sttbatch.external.cloudru.endpoint_request import (
    AMBIGUOUS_RETRIES,
    EndpointAnswer,
    EndpointRequest,
    RequestLimits,
    RequestState,
    Retry,
)
from sttbatch.external.cloudru.http_attempt import FAULTS, HttpAttempt
from sttbatch.external.cloudru.model_check import ModelCheck, concerns_model
from sttbatch.external.cloudru.retry_policy import Action, RetryDecision
from sttbatch.external.secret import Secret
from sttbatch.external.tls import certificate_error

T = TypeVar("T")

SMALL_ANSWER_BYTES = 16 * 1024
"""The words of a minute; they are read in less than a millisecond."""


class Endpoint:
    """Sends requests over HTTP; `warn` is called once when HTTP/2 is given up."""

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
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._admission = admission
        self._pool = pool
        self._limits = limits
        self.warn = warn
        self.models = models or ModelCheck(base_url, key.masked)
        self._served_models: set[str] = set()

    def prepare(self, requests: int) -> None:
        """Open connections for so many requests at a time, in the background."""
        self._pool.open_ahead(self._base_url, requests)

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._admission.aclose()

    async def send(
        self, asked: EndpointRequest[T], record: RecordRequest, stopped: asyncio.Event
    ) -> EndpointAnswer[T]:
        """Send a request; `record` and `stopped` are, and it raises, as `Engine.transcribe`."""
        state = RequestState(asked, record, stopped)
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

    async def _attempt(self, state: RequestState[T]) -> EndpointAnswer[T]:
        asked = state.asked
        await self.models.check_provider(asked.model)
        await self._pool.prepare()
        await self._admission.admit(state.ticket)
        asked.check(asked.formats.index)
        connection = await self._pool.take(http1=state.http1, fresh=state.fresh)
        response_s = self._limits.deadline_base_s + asked.work_s
        http = HttpAttempt(connection, stall_s=self._limits.stall_s, response_s=response_s)
        state.begin_attempt(http, asked.formats.next_index())
        try:
            answer = await http.send(
                self._base_url + asked.path,
                headers={
                    "Authorization": f"Bearer {self._key.reveal()}",
                    "Idempotency-Key": state.idempotency_key,
                },
                content=asked.content(state.format_index),
                max_bytes=asked.max_bytes,
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
            understood = await computed(
                lambda: asked.understand(answer, self._key.masked),
                small=len(answer.body.data) <= SMALL_ANSWER_BYTES,
            )
        except asyncio.CancelledError:
            is_maybe_paid = answer.status == 200
            await state.record_attempt(
                answer.status, error="cancelled", maybe_paid=is_maybe_paid, request_id=request_id
            )
            raise
        if isinstance(understood, RetryDecision):
            raise await self._after_refusal(state, understood, request_id)
        self._admission.succeeded(state.ticket)
        self._served_models.add(asked.model)
        asked.formats.served(state.format_index)
        request = state.api_request(200, paid=True, request_id=request_id)
        return EndpointAnswer(understood, request, state.format_index)

    async def _after_fault(self, state: RequestState[Any], error: Exception) -> Exception:
        """Record a request without a response, and return the exception to raise."""
        http = state.http
        reason = self._key.masked(f"{type(error).__name__}: {error}".removesuffix(": "))
        is_late = isinstance(error, TimeoutError) and http.complete
        # Slow servers and stale connections are no faults of HTTP/2.
        against_http2 = http.spoke_http2 and not http.reused and not is_late
        gave_up = self._pool.retire(http.connection, http2_failed=against_http2)
        if isinstance(error, TimeoutError):
            waited_for = "no answer came" if http.complete else "the upload stalled"
            reason = f"{waited_for}, given up after {time.monotonic() - state.began:.0f} s"
        await state.record_attempt(None, error=reason, maybe_paid=http.complete)
        if gave_up:
            self.warn("HTTP/2 failed on three connections in a row; continuing with HTTP/1.1")
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

    async def _after_refusal(
        self, state: RequestState[Any], decision: RetryDecision, request_id: str | None
    ) -> Exception:
        """Record a response without a result, and return the exception to raise."""
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
        model = state.asked.model
        if model not in self._served_models and concerns_model(decision, model):
            return await self.models.unknown(model, message, state.asked.chosen_by)
        if refusing:
            message = f"the endpoint is up and refuses these requests: {message}"
        match decision.action:
            case Action.RETRY_LATER:
                back = time.localtime(time.time() + decision.hint_s)
                at = time.strftime("%Y-%m-%d %H:%M", back)
                return errors.RetryLater(f"{message}; the endpoint asks to come back at {at}")
            case Action.SIMPLER_FORMAT:
                if not state.asked.formats.refused(state.format_index, message):
                    return errors.ChunkError(message)
                return Retry(message)
            case Action.RETRY | Action.SLOW_DOWN | Action.UNREADABLE:
                return self._retry(state, message, decision.hint_s, free=free)
        return _FINAL[decision.action](message)

    def _retry(
        self, state: RequestState[Any], reason: str, hint_s: float = 0.0, *, free: bool = False
    ) -> Retry:
        # In an outage admission control waits.
        if free:
            return Retry(reason)
        state.counted += 1
        return Retry(reason, max(hint_s, self._limits.waits.wait_s(state.counted)))


_FINAL: Mapping[Action, Callable[[str], errors.SttbatchError]] = {
    Action.REFUSED: lambda message: errors.EndpointRefused(
        f"the endpoint refuses requests: {message}; `sttbatch doctor` tells more"
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
