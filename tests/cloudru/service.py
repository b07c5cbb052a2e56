"""What the endpoint does with a request, whichever connection it came on."""

from __future__ import annotations

import asyncio
import hashlib
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from .alphabet import Heard, NotAudioError
from .answers import Answer, Style, error_answer, json_answer, transcript
from .exchange import Exchange
from .faults import Choice, Fault, Fin, Goaway, Hang, NotJson, ResetStream, Status, Truncated
from .forms import BadFormError, Part, parse_form
from .hearing import hear
from .log import Log, Received
from .models import (
    Asked,
    BadBodyError,
    Said,
    asked_of,
    chat_answer,
    embeddings_answer,
    refusal_of,
)

MODEL = "openai/whisper-large-v3"
_REMEMBERED_FILES = 64
_CHAT, _EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
_METHODS = {"/v1/audio/transcriptions", _CHAT, _EMBEDDINGS}


KEY = "sk-canary-0d5be1f7-of-the-test-endpoint"
"""No file, no output and no log of a test may hold it; tests/conftest.py looks."""


@dataclass(frozen=True, slots=True)
class _Upload:
    """A body that was looked into: its fields, and its words or why there are none."""

    changes: dict[str, Any]
    heard: Heard | None
    problem: Answer | None


@dataclass(kw_only=True, eq=False)
class Service:
    """The behaviour of the endpoint; every field may be changed between two requests."""

    key: str = KEY
    recognise: Callable[[bytes], Heard] = hear
    """Runs on a thread of its own, once for each file (the last 64 are remembered); raises
    `NotAudioError` for what is no recording."""
    style: Style = field(default_factory=Style)
    faults: Callable[[Received], Fault | None] | None = None
    """Asked once for each POST that is not refused: see `faults.Choice`."""
    latency_s: float = 0.0
    latency_per_audio_s: float = 0.0
    """Seconds for each second of audio, counted like `latency_s` from the end of the body on."""
    max_body_bytes: int = 26_214_400
    max_concurrent: int | None = None
    """429 while that many POSTs are being served."""
    rate_per_minute: int | None = None
    """429 with Retry-After for what exceeds it in any `rate_window_s`."""
    rate_window_s: float = 60.0
    keep_bodies: bool = False
    chat: Callable[[Asked], Said] = lambda _: Said("{}")
    """The chat model; runs on a recogniser's thread."""
    refused_options: tuple[str, ...] = ()
    """Fields and response formats of chat completions that are answered with 400."""
    models: Sequence[Mapping[str, Any]] | Status = (
        {"id": MODEL, "object": "model", "owned_by": "openai"},
    )
    """Entries of its list of models, or what is answered in its place."""
    clock_ahead_s: float | None = None
    """How far the Date of its list of models is ahead; None: it sends none."""
    log: Log = field(default_factory=Log, init=False)

    def __post_init__(self) -> None:
        self._recognisers = ThreadPoolExecutor(2, thread_name_prefix="recognise")
        self._remembered: OrderedDict[str, Heard] = OrderedDict()
        self._accepted_at_s: deque[float] = deque()
        self._serving = 0
        self._answering = asyncio.Event()
        self._answering.set()

    async def handle(self, exchange: Exchange) -> None:
        """Serve one request to its end."""
        path = exchange.path.partition("?")[0]
        try:
            if exchange.method == "POST" and path in _METHODS:
                await self._post(exchange, path)
            elif (exchange.method, path) == ("GET", "/v1/models"):
                # Answers without a key, as the real one does: no check of the key.
                self.log.models_asked += 1
                await exchange.answer(self._models())
            else:
                await exchange.answer(json_answer(404, {"detail": "Not Found"}))
        except ConnectionError:
            pass  # the client left in the midst of its answer: nobody is there to be told
        except Exception:  # noqa: BLE001 - tests read `errors`, and a loop must go on
            self.log.failed(traceback.format_exc())
            with suppress(ConnectionError):
                await exchange.answer(error_answer(500, "the test endpoint has failed"))

    def _models(self) -> Answer:
        if isinstance(self.models, Status):
            return _status_answer(self.models)
        return json_answer(200, {"object": "list", "data": list(self.models)}, self._date())

    def _date(self) -> dict[str, str]:
        if self.clock_ahead_s is None:
            return {}
        return {"date": formatdate(time.time() + self.clock_ahead_s, usegmt=True)}

    async def _post(self, exchange: Exchange, path: str) -> None:
        headers = exchange.headers
        length = headers.get("content-length", "")
        record = self.log.arrived(
            http_version=exchange.http_version,
            connection=exchange.connection,
            authorised=headers.get("authorization") == f"Bearer {self.key}",
            idempotency_key=headers.get("idempotency-key", ""),
            content_length=int(length) if length.isdigit() else None,
            user_agent=headers.get("user-agent", ""),
            path=path,
        )
        refusal = self._refusal(record)
        self._serving += refusal is None
        try:
            await self._serve(exchange, record, refusal)
        except (asyncio.CancelledError, ConnectionError):
            self._note(self.log.records[record.number], client_left=True)
            raise
        finally:
            self._serving -= refusal is None
            self.log.over(record)

    async def _serve(self, exchange: Exchange, record: Received, refusal: Answer | None) -> None:
        choose = self.faults if refusal is None else None
        early = isinstance(choose, Choice) and choose.before_body
        fault: Fault | None = None
        if choose is not None and early:
            await exchange.first_data.wait()
            fault = choose(record)
            if fault is not None and fault.before_body:
                await self._fail(exchange, record, fault)
                return
        await exchange.complete.wait()
        record = self._note(record, body_read_at_s=time.monotonic(), body_bytes=exchange.body_bytes)
        if refusal is None and exchange.too_large:
            refusal = error_answer(413, f"the body is larger than {self.max_body_bytes} bytes")
        if refusal is not None:
            await self._answer(exchange, record, refusal)
            return
        look = {_CHAT: self._ask, _EMBEDDINGS: self._embed}.get(record.path, self._look_into)
        upload = await asyncio.get_running_loop().run_in_executor(self._recognisers, look, exchange)
        record = self._note(record, **upload.changes)
        if choose is not None and not early:
            fault = choose(record)
            if fault is not None and fault.before_body:
                raise ValueError(f"{fault} happens before the body is read: use before_body()")
        answer = upload.problem or self._transcript(upload, record)
        if isinstance(fault, Hang):
            record = self._note(record, fault=repr(fault))
            await asyncio.sleep(fault.seconds)
        elif fault is not None:
            if isinstance(fault, Truncated):
                await self._wait(record)
            await self._fail(exchange, record, fault, answer)
            return
        else:
            await self._wait(record)
        await self._answer(exchange, record, answer)

    def _refusal(self, record: Received) -> Answer | None:
        """What is decided by the headers alone, though answered after the body, so that clients
        on HTTP/2 get to see it."""
        if not record.authorised:
            return error_answer(401, "Invalid API key", code="invalid_api_key")
        if self.max_concurrent is not None and self._serving >= self.max_concurrent:
            return error_answer(429, "too many requests at once", code="rate_limit_exceeded")
        if self.rate_per_minute is not None:
            now_s = record.arrived_at_s
            while self._accepted_at_s and self._accepted_at_s[0] <= now_s - self.rate_window_s:
                self._accepted_at_s.popleft()
            if len(self._accepted_at_s) >= self.rate_per_minute:
                wait_s = self._accepted_at_s[0] + self.rate_window_s - now_s
                return error_answer(
                    429,
                    "too many requests a minute",
                    code="rate_limit_exceeded",
                    headers={"retry-after": str(int(wait_s) + 1)},
                )
            self._accepted_at_s.append(now_s)
        return None

    def _look_into(self, exchange: Exchange) -> _Upload:
        """Parse the form and listen to its file. Runs on a recogniser's thread."""
        try:
            parts = parse_form(exchange.headers.get("content-type", ""), exchange.body)
        except BadFormError as error:
            return _Upload({}, None, error_answer(400, str(error)))
        finally:
            exchange.body.clear()
        changes = _fields(parts)
        file = next((part for part in parts if part.name == "file"), None)
        if file is None or not changes["model"]:
            missing = "file" if file is None else "model"
            return _Upload(changes, None, error_answer(400, f"no {missing}", param=missing))
        changes |= {
            "filename": file.filename or "",
            "content_type": file.content_type,
            "file_bytes": len(file.data),
            "file_sha256": hashlib.sha256(file.data).hexdigest(),
            "file": file.data if self.keep_bodies else None,
        }
        heard = self._remembered.get(changes["file_sha256"])
        if heard is None:
            try:
                heard = self.recognise(file.data)
            except NotAudioError as error:
                return _Upload(changes, None, error_answer(400, str(error), param="file"))
            self._remembered[changes["file_sha256"]] = heard
            if len(self._remembered) > _REMEMBERED_FILES:
                self._remembered.popitem(last=False)
        changes["audio_s"] = heard.duration_s
        changes["words"] = tuple(word.text for word in heard.words)
        if heard.has_video:
            return _Upload(changes, heard, error_answer(503, "Service Unavailable"))
        return _Upload(changes, heard, None)

    def _ask(self, exchange: Exchange) -> _Upload:
        """Let the chat model answer. Runs on a recogniser's thread."""
        try:
            asked = asked_of(bytes(exchange.body))
        except BadBodyError as error:
            return _Upload({}, None, error_answer(400, str(error)))
        finally:
            exchange.body.clear()
        changes = {"asked": asked, "model": asked.model}
        refusal = refusal_of(asked, self.refused_options)
        return _Upload(changes, None, refusal or chat_answer(asked, self.chat(asked)))

    def _embed(self, exchange: Exchange) -> _Upload:
        try:
            texts, answer = embeddings_answer(bytes(exchange.body))
        except BadBodyError as error:
            return _Upload({}, None, error_answer(400, str(error)))
        finally:
            exchange.body.clear()
        return _Upload({"texts": texts}, None, answer)

    def _transcript(self, upload: _Upload, record: Received) -> Answer:
        assert upload.heard is not None  # there is either a problem or a recording
        return transcript(
            upload.heard,
            self.style,
            response_format=record.response_format or "json",
            granularities=record.granularities,
            language=record.language,
        )

    async def _wait(self, record: Received) -> None:
        assert record.body_read_at_s is not None
        due_s = self.latency_s + self.latency_per_audio_s * record.audio_s
        # Listening took some of it already.
        await asyncio.sleep(record.body_read_at_s + due_s - time.monotonic())
        await self._answering.wait()

    async def _fail(
        self, exchange: Exchange, record: Received, fault: Fault, answer: Answer | None = None
    ) -> None:
        record = self._note(record, fault=repr(fault))
        match fault:
            case Status():
                if fault.early:
                    exchange.stop_reading()
                await self._answer(exchange, record, _status_answer(fault))
                if fault.reset:
                    exchange.reset(0)
            case Truncated():
                body = (answer or json_answer(200, {"text": ""})).body
                await self._answer(exchange, record, Answer(200, body[: len(body) // 2]))
            case NotJson():
                page = b"<html><head><title>Please wait</title></head><body></body></html>"
                await self._answer(exchange, record, Answer(200, page, "text/html"))
            case Goaway():
                exchange.goaway()
            case ResetStream():
                exchange.reset(fault.error_code)
            case Fin():
                exchange.fin()
            case Hang():
                raise AssertionError("hangs are served where answers are")

    async def _answer(self, exchange: Exchange, record: Received, answer: Answer) -> None:
        # Noted first: a client must find the record finished once it has its answer.
        self._note(record, answered_at_s=time.monotonic(), status=answer.status)
        await exchange.answer(answer)

    def _note(self, record: Received, **changes: Any) -> Received:
        return self.log.update(replace(record, **changes))


def _fields(parts: list[Part]) -> dict[str, Any]:
    plain = {part.name: part.text for part in parts if part.filename is None}
    names = ("model", "language", "prompt", "response_format", "temperature")
    return {name: plain.get(name, "") for name in names} | {
        "granularities": tuple(
            part.text for part in parts if part.name == "timestamp_granularities[]"
        )
    }


def _status_answer(fault: Status) -> Answer:
    if fault.body is None:
        return error_answer(fault.code, f"status {fault.code} on demand", headers=fault.headers)
    if isinstance(fault.body, bytes):
        return Answer(fault.code, fault.body, "text/html", fault.headers)
    return json_answer(fault.code, fault.body, fault.headers)
