"""Cloud.ru's speech recognition: one chunk in, its words out, whatever the wire does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import httpx
import tenacity

from sttbatch.core.engine import Answer, RecordRequest
from sttbatch.core.errors import (
    ChunkError,
    ChunkRefused,
    ChunkTooLarge,
    EndpointRefused,
    EndpointUnreachable,
    RetryLater,
    Stopped,
)
from sttbatch.core.models import Upload
from sttbatch.core.options import API_BODY_LIMIT_BYTES, RequestOptions
from sttbatch.external.cloudru.admission import Gate
from sttbatch.external.cloudru.connections import Connection, ConnectionPool, distrust
from sttbatch.external.cloudru.http_attempt import FAULTS, Exchange
from sttbatch.external.cloudru.request_state import FORMATS, Ask, Retry, fields_of, format_name
from sttbatch.external.cloudru.response_parsing import UnreadableAnswer, parse_transcription
from sttbatch.external.cloudru.retry_policy import Action, Verdict, verdict_on
from sttbatch.external.secret import Secret

BACKOFF_BASE_S = 0.5
BACKOFF_CAP_S = 60.0
AMBIGUOUS_RETRIES = 2
"""After an upload that may have been billed; more would gamble with the user's money."""

STALL_S = 20.0
"""An upload that has not moved for so long was answered or dropped early, which HTTP/2 hides."""

DEADLINE_BASE_S = 60.0
DEADLINE_PER_AUDIO_S = 1.0
MULTIPART_FRAME_BYTES = 16 * 1024
PIECE_WITHOUT_TIMES_S = 30.0


class CloudRu:
    """An `Engine` over HTTP.

    Args:
        retries: per chunk, besides what outages cost.
        stall_s: how long an upload may stand still.
        deadline_base_s: how long an answer may take, besides a second for each of audio.
        backoff_base_s: what a first retry waits at most.
        warn: is told once of what changes for the rest of the run.
    """

    def __init__(
        self,
        base_url: str,
        key: Secret,
        gate: Gate,
        pool: ConnectionPool,
        *,
        retries: int,
        warn: Callable[[str], None],
        stall_s: float = STALL_S,
        deadline_base_s: float = DEADLINE_BASE_S,
        backoff_base_s: float = BACKOFF_BASE_S,
    ) -> None:
        self._url = base_url.rstrip("/") + "/audio/transcriptions"
        self._key = key
        self._gate = gate
        self._pool = pool
        self._retries = retries
        self._warn = warn
        self._stall_s = stall_s
        self._deadline_base_s = deadline_base_s
        self._backoff_base_s = backoff_base_s
        self._format = 0
        self._format_warned = 0
        self._format_refusal = ""

    @property
    def timestamps(self) -> bool:
        return FORMATS[self._format][0] != "json"

    @property
    def longest_s(self) -> float | None:
        return None

    def stop(self) -> None:
        self._gate.stop()

    async def aclose(self) -> None:
        await self._pool.aclose()
        await self._gate.aclose()

    async def transcribe(
        self, upload: Upload, options: RequestOptions, record: RecordRequest
    ) -> Answer:
        around_it = MULTIPART_FRAME_BYTES + len((options.prompt or "").encode())
        if upload.size_bytes + around_it > API_BODY_LIMIT_BYTES:
            raise ChunkTooLarge(f"its {upload.size_bytes:,} bytes are over the endpoint's limit")
        ask = Ask(upload, options, record)
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Retry),
            stop=lambda _: self._spent(ask),
            wait=_wait_s,
            sleep=self._gate.sleep,
            reraise=True,
        )
        try:
            return await attempts(self._attempt, ask)
        except Retry as error:
            if self._gate.stopped:
                raise Stopped from error
            raise ChunkError(f"{error} (after {ask.attempt} attempts)") from error
        finally:
            self._gate.leave(ask.pass_)

    def _spent(self, ask: Ask) -> bool:
        """Whether this was the last try."""
        too_often = ask.counted > self._retries or ask.ambiguous > AMBIGUOUS_RETRIES
        return too_often or self._gate.stopped

    async def _attempt(self, ask: Ask) -> Answer:
        await self._pool.prepare()
        await self._gate.pass_through(ask.pass_)
        if not self.timestamps and ask.upload.duration_s > PIECE_WITHOUT_TIMES_S:
            raise ChunkTooLarge(
                "its answer would have no timestamps", max_piece_s=PIECE_WITHOUT_TIMES_S
            )
        connection = self._pool.take(http1=ask.http1, fresh=ask.fresh)
        answer_s = self._deadline_base_s + DEADLINE_PER_AUDIO_S * ask.upload.duration_s
        exchange = Exchange(connection, stall_s=self._stall_s, answer_s=answer_s)
        format_asked = self._format
        ask.begin()
        try:
            response = await self._post(exchange, ask, format_asked)
        except FAULTS as error:
            raise await self._after_fault(ask, connection, exchange, error) from error
        except BaseException as error:
            # Cancelled, or a bug: either way the connection's streams are in no known state.
            self._pool.retire(connection)
            if isinstance(error, asyncio.CancelledError):
                await ask.record(
                    ask.post(exchange, None, error="cancelled", maybe_paid=exchange.complete)
                )
            raise
        self._pool.give_back(connection, response.http_version)
        ask.fresh = ask.http1 = False
        if response.status_code == 200:
            return await self._after_success(ask, exchange, response, format_asked)
        raise await self._after_refusal(ask, exchange, response, format_asked)

    async def _post(self, exchange: Exchange, ask: Ask, format_asked: int) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self._key.reveal()}",
            "Idempotency-Key": ask.idempotency_key,
        }
        try:
            file = ask.upload.open()
        except OSError as error:
            raise ChunkError(f"the upload's temporary file cannot be read: {error}") from error
        # A file object, because httpx slices bytes in quadratic time.
        with file:
            return await exchange.post(
                self._url,
                headers=headers,
                fields=fields_of(ask.options, format_asked),
                file=(ask.upload.filename, file, ask.upload.content_type),
            )

    async def _after_fault(
        self, ask: Ask, connection: Connection, exchange: Exchange, error: Exception
    ) -> Exception:
        """No answer came."""
        reason = self._key.masked(_described(error))
        is_late = isinstance(error, TimeoutError) and exchange.complete
        # Slow servers and stale connections say nothing against the protocol.
        against_http2 = exchange.spoke_http2 and not exchange.reused and not is_late
        gave_up = self._pool.retire(connection, http2_failed=against_http2)
        if isinstance(error, TimeoutError):
            waited_for = "no answer came" if exchange.complete else "the upload stood still"
            reason = f"{waited_for}, given up after {time.monotonic() - ask.begun:.0f} s"
        await ask.record(ask.post(exchange, None, error=reason, maybe_paid=exchange.complete))
        if gave_up:
            self._warn("HTTP/2 failed on three connections in a row; going on over HTTP/1.1")
        if (untrusted := distrust(error)) is not None:
            return EndpointUnreachable(untrusted)
        ask.ambiguous += exchange.complete
        ask.fresh = True
        ask.http1 = exchange.early_answer_lost and "ConnectionTerminated" not in reason
        if exchange.reused and not is_late and not ask.reconnected:
            # The other side closed it while nobody looked; that is nothing against the endpoint.
            ask.reconnected = True
            return Retry(reason)
        return self._again(ask, reason, free=self._gate.failed(ask.pass_, reason, answered=False))

    async def _after_success(
        self, ask: Ask, exchange: Exchange, response: httpx.Response, format_asked: int
    ) -> Answer:
        facts: dict[str, Any] = {"request_id": self._request_id(response)}
        kind = response.headers.get("content-type", "")
        try:
            body = self._key.masked_bytes(response.content)
            heard = parse_transcription(body, ask.upload.duration_s, kind)
        except UnreadableAnswer as error:
            post = ask.post(exchange, 200, error=str(error), maybe_paid=True, **facts)
            await ask.record(post)
            self._gate.succeeded(ask.pass_)
            ask.ambiguous += 1
            raise self._again(ask, str(error)) from error
        self._gate.succeeded(ask.pass_)
        if format_asked > self._format_warned:
            self._format_warned = format_asked
            self._warn(
                f"the endpoint refuses {format_name(0)} ({self._format_refusal}); going on with "
                f"{format_name(format_asked)}"
            )
        post = ask.post(exchange, 200, paid=True, **facts)
        return Answer(heard, post, FORMATS[format_asked][0])

    async def _after_refusal(
        self, ask: Ask, exchange: Exchange, response: httpx.Response, format_asked: int
    ) -> Exception:
        """An answer came, and it was not 200."""
        # Some servers repeat the key that they refuse.
        body = self._key.masked_bytes(response.content)
        verdict = verdict_on(response.status_code, response.headers, body)
        request_id = self._request_id(response)
        # The other lanes learn of it before it is recorded, which takes as long as a lane may
        # have to wait for its next turn.
        free = False
        if verdict.is_outage:
            free = self._gate.failed(ask.pass_, verdict.message, answered=True)
        else:
            self._gate.succeeded(ask.pass_)
        if verdict.action is Action.SLOW_DOWN:
            # It concerns all lanes, so the gate does the waiting.
            await self._gate.slow_down(max(verdict.hint_s, self._jittered_s(ask.counted + 1)))
        elif free:
            # The outage's own waits may be shorter than what the server asks for.
            await self._gate.slow_down(verdict.hint_s)
        await ask.record(
            ask.post(exchange, response.status_code, error=verdict.message, request_id=request_id)
        )
        match verdict.action:
            case Action.REFUSED:
                return EndpointRefused(f"the endpoint refuses us: {verdict.message}")
            case Action.RETRY_LATER:
                return _retry_later(verdict)
            case Action.SPLIT_CHUNK:
                return ChunkTooLarge(verdict.message)
            case Action.FAIL_CHUNK:
                return ChunkRefused(verdict.message)
            case Action.SIMPLER_FORMAT:
                return self._after_format(verdict.message, format_asked)
        return self._again(ask, verdict.message, verdict.hint_s, free=free)

    def _request_id(self, response: httpx.Response) -> str | None:
        found = response.headers.get("x-request-id")
        return self._key.masked(found) if found is not None else None

    def _after_format(self, message: str, format_asked: int) -> Exception:
        """The server knows no such response format; ask for less from now on."""
        if self._format == format_asked:
            if format_asked + 1 == len(FORMATS):
                return ChunkError(message)
            self._format += 1
            self._format_refusal = message
        return Retry(message)

    def _again(self, ask: Ask, reason: str, hint_s: float = 0.0, *, free: bool = False) -> Retry:
        # In an outage the gate does the waiting.
        if free:
            return Retry(reason)
        ask.counted += 1
        return Retry(reason, max(hint_s, self._jittered_s(ask.counted)))

    def _jittered_s(self, failures: int) -> float:
        """Full jitter: uniform up to the exponential, so that lanes do not come back together."""
        ceiling_s = min(BACKOFF_CAP_S, self._backoff_base_s * 2 ** (failures - 1))
        return random.uniform(0, ceiling_s)  # noqa: S311 - spreads load, guards nothing


def _wait_s(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return error.wait_s if isinstance(error, Retry) else 0.0


def _retry_later(verdict: Verdict) -> RetryLater:
    back = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + verdict.hint_s))
    return RetryLater(f"{verdict.message}; the endpoint asks to come back at {back}")


def _described(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
