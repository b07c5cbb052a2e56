"""Cloud.ru's speech recognition: one chunk in, its words out, whatever the wire does."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import httpx
import tenacity

from sttbatch.core.engine import Answer, Post, RecordPost
from sttbatch.core.errors import ChunkError, ChunkTooLarge, EndpointRefused, RetryLater, Stopped
from sttbatch.core.models import Upload
from sttbatch.core.options import API_BODY_LIMIT_BYTES, RequestOptions
from sttbatch.external.answers import UnreadableAnswer, parse_transcription
from sttbatch.external.connections import CONNECT_TIMEOUT_S, Connection, ConnectionPool
from sttbatch.external.gate import Gate, Pass
from sttbatch.external.secret import Secret
from sttbatch.external.verdicts import Action, Verdict, verdict_on

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

# What is asked for, best first; a server that refuses one gets the next for the rest of the run.
FORMATS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("verbose_json", ("word", "segment")),
    ("verbose_json", ()),
    ("json", ()),
)


class _Retry(Exception):
    """This attempt brought nothing; another may."""

    def __init__(
        self,
        message: str,
        *,
        hint_s: float = 0.0,
        free: bool = False,
        at_once: bool = False,
    ) -> None:
        super().__init__(message)
        self.hint_s = hint_s
        self.free = free
        self.at_once = at_once


@dataclass(slots=True)
class _Ask:
    """One chunk's state over its attempts.

    Attributes:
        counted: failures that use up retries; outages' do not.
        http1: the next attempt goes over HTTP/1.1, to learn what an early answer said.
    """

    upload: Upload
    options: RequestOptions
    record: RecordPost
    pass_: Pass = field(default_factory=Pass)
    idempotency_key: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt: int = 0
    counted: int = 0
    ambiguous: int = 0
    free_reconnects: int = 0
    http1: bool = False


class CloudRu:
    """An `Engine` over HTTP.

    Args:
        retries: per chunk, besides what outages cost.
        stall_s: how long an upload may stand still.
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
    ) -> None:
        self._url = base_url.rstrip("/") + "/audio/transcriptions"
        self._key = key
        self._gate = gate
        self._pool = pool
        self._retries = retries
        self._warn = warn
        self._stall_s = stall_s
        self._format = 0

    @property
    def timestamps(self) -> bool:
        return FORMATS[self._format][0] != "json"

    def stop(self) -> None:
        self._gate.stop()

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def transcribe(
        self, upload: Upload, options: RequestOptions, record: RecordPost
    ) -> Answer:
        if upload.size_bytes + MULTIPART_FRAME_BYTES > API_BODY_LIMIT_BYTES:
            raise ChunkTooLarge(f"its {upload.size_bytes:,} bytes are over the endpoint's limit")
        ask = _Ask(upload, options, record)
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Retry),
            stop=lambda state: self._spent(ask, state),
            wait=lambda state: _wait_s(ask, state),
            sleep=self._gate.sleep,
            reraise=True,
        )
        try:
            return await attempts(self._attempt, ask)
        except _Retry as error:
            if self._gate.stopped:
                raise Stopped from error
            raise ChunkError(f"{error} (after {ask.attempt} attempts)") from error
        finally:
            self._gate.leave(ask.pass_)

    def _spent(self, ask: _Ask, state: tenacity.RetryCallState) -> bool:
        """Whether this was the last try."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, _Retry) or self._gate.stopped:
            return True
        return ask.counted > self._retries or ask.ambiguous > AMBIGUOUS_RETRIES

    async def _attempt(self, ask: _Ask) -> Answer:
        await self._gate.pass_through(ask.pass_)
        connection = await self._pool.take(http1=ask.http1)
        ask.attempt += 1
        sent = _SentBytes(ask.upload)
        begun, began_at = time.monotonic(), time.time()
        format_asked = self._format
        deadline_s = DEADLINE_BASE_S + DEADLINE_PER_AUDIO_S * ask.upload.duration_s

        def post(status: int | None, request_id: str | None = None, **facts: Any) -> Post:
            return Post(
                at=began_at,
                attempt=ask.attempt,
                status=status,
                latency_s=time.monotonic() - begun,
                sent_bytes=sent.count,
                audio_s=ask.upload.duration_s,
                request_id=request_id,
                **facts,
            )

        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + self._stall_s) as limit:
                sent.watch(limit, self._stall_s, begun + deadline_s)
                response = await self._post(connection, ask, sent, format_asked)
        except (httpx.RequestError, httpx.StreamError, OSError, TimeoutError) as error:
            message = _described(error)
            if isinstance(error, TimeoutError):
                message = f"no answer within {time.monotonic() - begun:.0f} s"
            await ask.record(post(None, error=message, maybe_paid=sent.complete))
            # An answer given while the body was still going out is lost on HTTP/2; 1.1 shows it.
            cut_short = sent.count > 0 and not sent.complete
            unexplained = cut_short or isinstance(error, httpx.LocalProtocolError)
            ask.http1 = unexplained and connection.http2
            raise self._after_fault(ask, connection, message, maybe_paid=sent.complete) from error
        except BaseException:
            # Cancelled, or a bug: either way the connection's streams are in no known state.
            self._pool.retire(connection, faulty=False)
            raise
        finally:
            sent.close()
        self._pool.give_back(connection, response.http_version)
        ask.http1 = False
        request_id = response.headers.get("x-request-id")
        if response.status_code == 200:
            self._gate.succeeded()
            try:
                heard = parse_transcription(response.content, ask.upload.duration_s)
            except UnreadableAnswer as error:
                await ask.record(post(200, request_id, error=str(error), maybe_paid=True))
                ask.counted += 1
                ask.ambiguous += 1
                raise _Retry(str(error)) from error
            return Answer(heard, post(200, request_id, paid=True), FORMATS[format_asked][0])
        verdict = verdict_on(response.status_code, response.headers, response.content)
        await ask.record(post(response.status_code, request_id, error=verdict.message))
        raise self._after_refusal(ask, verdict, format_asked)

    async def _post(
        self, connection: Connection, ask: _Ask, sent: _SentBytes, format_asked: int
    ) -> httpx.Response:
        options, upload = ask.options, ask.upload
        response_format, granularities = FORMATS[format_asked]
        fields: dict[str, Any] = {"model": options.model, "response_format": response_format}
        if granularities:
            fields["timestamp_granularities[]"] = list(granularities)
        if options.language is not None:
            fields["language"] = options.language
        if options.prompt is not None:
            fields["prompt"] = options.prompt
        if options.temperature is not None:
            fields["temperature"] = str(options.temperature)
        return await connection.client.post(
            self._url,
            data=fields,
            files={"file": (upload.filename, cast("BinaryIO", sent), upload.content_type)},
            headers={
                "Authorization": f"Bearer {self._key.reveal()}",
                "Idempotency-Key": ask.idempotency_key,
            },
        )

    def _after_fault(
        self, ask: _Ask, connection: Connection, message: str, *, maybe_paid: bool
    ) -> _Retry:
        """No answer came."""
        if self._pool.retire(connection, faulty=not connection.was_idle):
            self._warn("HTTP/2 failed on three connections in a row; going on over HTTP/1.1")
        if connection.was_idle and ask.free_reconnects == 0 and not self._gate.stopped:
            # The other side closed it while nobody looked; nothing is known against the endpoint.
            ask.free_reconnects += 1
            ask.ambiguous += maybe_paid
            return _Retry(message, free=True, at_once=True)
        ask.ambiguous += maybe_paid
        free = self._gate.failed(ask.pass_)
        ask.counted += not free
        return _Retry(message, free=free)

    def _after_refusal(self, ask: _Ask, verdict: Verdict, format_asked: int) -> Exception:
        """An answer came, and it was not 200."""
        free = False
        if verdict.is_outage:
            free = self._gate.failed(ask.pass_)
        else:
            self._gate.succeeded()
        match verdict.action:
            case Action.REFUSED:
                return EndpointRefused(f"the endpoint refuses us: {verdict.message}")
            case Action.RETRY_LATER:
                wait_s = verdict.hint_s or 0.0
                back = time.strftime("%Y-%m-%d %H:%M", time.localtime(time.time() + wait_s))
                return RetryLater(f"{verdict.message}; the endpoint asks to come back at {back}")
            case Action.SPLIT_CHUNK:
                return ChunkTooLarge(verdict.message)
            case Action.FAIL_CHUNK:
                return ChunkError(verdict.message)
            case Action.SIMPLER_FORMAT:
                return self._after_format(ask, verdict.message, format_asked)
        ask.counted += not free
        hint_s = verdict.hint_s or 0.0
        if verdict.action is Action.SLOW_DOWN:
            self._gate.slow_down(hint_s or _jittered_s(ask.counted))
        elif free:
            # The outage's own waits may be shorter than what the server asks for.
            self._gate.slow_down(hint_s)
        return _Retry(verdict.message, hint_s=hint_s, free=free)

    def _after_format(self, ask: _Ask, message: str, format_asked: int) -> Exception:
        """The server knows no such response format; ask for less from now on."""
        if self._format == format_asked:
            if format_asked + 1 == len(FORMATS):
                return ChunkError(message)
            self._format += 1
            self._warn(
                f"the endpoint refuses {_format_name(format_asked)} ({message}); going on with "
                f"{_format_name(self._format)}"
            )
        if not self.timestamps and ask.upload.duration_s > PIECE_WITHOUT_TIMES_S:
            return ChunkTooLarge(
                "its answer would have no timestamps", max_piece_s=PIECE_WITHOUT_TIMES_S
            )
        return _Retry(message, free=True, at_once=True)


class _SentBytes:
    """A file object that knows how far it was read, which tells what may have been billed."""

    def __init__(self, upload: Upload) -> None:
        self._file = upload.open()
        self._size = upload.size_bytes
        self._limit: asyncio.Timeout | None = None
        self.count = 0

    def watch(self, limit: asyncio.Timeout, stall_s: float, deadline: float) -> None:
        """Move `limit` on with every read; to `deadline` (monotonic) once all was read."""
        self._limit = limit
        self._stall_s = stall_s
        self._deadline = deadline

    @property
    def complete(self) -> bool:
        return self.count >= self._size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        if self._limit is not None:
            now = time.monotonic()
            until = self._deadline if self.complete else now + self._stall_s
            self._limit.reschedule(asyncio.get_running_loop().time() + until - now)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


def _jittered_s(failures: int) -> float:
    """Full jitter: uniform up to the exponential, so that lanes do not come back together."""
    ceiling = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** max(0, failures - 1))
    return random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing


def _wait_s(ask: _Ask, state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    # In an outage the gate does the waiting.
    if not isinstance(error, _Retry) or error.at_once or error.free:
        return 0.0
    return max(error.hint_s, _jittered_s(ask.counted))


def _format_name(index: int) -> str:
    name, granularities = FORMATS[index]
    return f"{name} with word times" if granularities else name


def _described(error: Exception) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
