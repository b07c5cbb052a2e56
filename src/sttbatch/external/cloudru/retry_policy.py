"""The retry policy: what follows from each HTTP status and error response."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC
from enum import Enum, auto
from typing import Any

from msgspec import Struct

from sttbatch.external.cloudru.json_values import finite_number, storable

MAX_HINT_S = 120.0
"""If the endpoint asks for a longer wait, the recording fails, and its message says until when."""

_ERROR_TEXT_LIMIT = 300
_HINT_CEILING_S = 366 * 24 * 3600.0
_QUOTA_WORDS = ("quota", "billing", "insufficient_funds", "payment", "balance")
_CREDENTIAL_WORDS = ("api key", "api_key", "apikey", "credential", "unauthorized", "token expired")
_STATUS_WORDS = (
    (429, ("rate_limit", "rate limit", "too_many_requests", *_QUOTA_WORDS)),
    (401, ("authentication", *_CREDENTIAL_WORDS)),
    (403, ("permission", "forbidden")),
    (404, ("not_found",)),
    (503, ("overloaded", "unavailable", "server_error", "internal", "timeout", "try again")),
)
"""Words in errors without a status, and the status that they mean; any other means 400."""

_WAIT = re.compile(
    r"(?:again|retry|wait|after|повтор|подожд|через)\D{0,40}"
    r"((?:\d{1,9}(?:\.\d{1,9})?\s?[^\W\d_]+[\s,]*){1,3})",
    re.IGNORECASE,
)
_WAIT_PART = re.compile(r"(\d+(?:\.\d+)?)\s?([^\W\d_]+)")
_UNITS = re.compile(
    r"(?P<ms>ms$|milli)|(?P<d>d$|day|дн|день|сут)|(?P<h>h|ч)|(?P<min>m(?!o)|м(?!ес))|(?P<s>s|с)"  # noqa: RUF001 - Russian
)
_UNITS_S = {"ms": 0.001, "d": 86_400.0, "h": 3600.0, "min": 60.0, "s": 1.0}

_FORMAT_WORDS = (
    "response_format",
    "timestamp_granularities",
    "verbose_json",
    "json_schema",
    "chat_template_kwargs",
)


class Action(Enum):
    """What to do after a response without a transcription.

    UNREADABLE, GIVE_UP: it was possibly billed, and another request may help, or will not.
    """

    RETRY = auto()
    SLOW_DOWN = auto()
    RETRY_LATER = auto()
    FAIL_CHUNK = auto()
    SPLIT_CHUNK = auto()
    SIMPLER_FORMAT = auto()
    REFUSED = auto()
    FORBIDDEN = auto()
    UNREADABLE = auto()
    GIVE_UP = auto()


class RetryDecision(Struct, frozen=True):
    """An action and its reason; `hint_s` is the wait in seconds that the server asks for."""

    action: Action
    message: str
    status: int
    hint_s: float = 0.0
    is_outage: bool = False
    code: str = ""


def decide(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    mask: Callable[[str], str] = lambda text: text,
) -> RetryDecision:
    """Decide by the status, the body and the headers of a response.

    `mask` removes the key from messages, as some servers repeat it.
    """
    text, code = error_message(body, headers.get("content-type", ""), mask)
    message = f"{status}: {text}" if text else str(status)
    hint_s = wait_hint_s(headers)
    if hint_s is None:
        hint_s = _wait_in_text_s(text)
    action = _action(status, f"{text} {code}".lower(), code, headers)
    # A rate limit may mention billing; a refusal gives no time to come back.
    if status == 429 and hint_s is not None:
        action = Action.RETRY
    hint_s = hint_s or 0.0
    if action is Action.RETRY and hint_s > MAX_HINT_S:
        action = Action.RETRY_LATER
    elif action is Action.RETRY and status == 429:
        action = Action.SLOW_DOWN
    if 300 <= status < 400:
        message += " redirects, which are not followed; check the base URL"
    return RetryDecision(
        action, message, status, hint_s, action is Action.RETRY and status >= 500, code
    )


def _action(status: int, words: str, code: str, headers: Mapping[str, str]) -> Action:  # noqa: PLR0911 - one return a row of the table
    # A redirect is a refusal: following it would send the key to another address.
    if status in {401, 402} or 300 <= status < 400:
        return Action.REFUSED
    if status == 403:
        return Action.FORBIDDEN
    # Some servers call a rate limit 'quota exceeded', so the code decides if there is one.
    if status == 429 and _any(_QUOTA_WORDS, code.lower() or words.replace("quota", "")):
        return Action.REFUSED
    if status == 400 and _any(_CREDENTIAL_WORDS, words):
        return Action.REFUSED
    if status in {400, 422} and _any(_FORMAT_WORDS, words):
        return Action.SIMPLER_FORMAT
    if status == 413:
        return Action.SPLIT_CHUNK
    wish = headers.get("x-should-retry", "").lower()
    retryable = status in {408, 409, 425, 429} or status >= 500
    if wish == "true" or (retryable and wish != "false"):
        return Action.RETRY
    return Action.FAIL_CHUNK


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)


def error_message(
    body: bytes, content_type: str = "", mask: Callable[[str], str] = lambda text: text
) -> tuple[str, str]:
    """(message, code) of an error response in any of the forms that servers and gateways use.

    The code consists of `code`, `type` and `param`, as far as they are there.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        if "html" in content_type or body.lstrip().startswith(b"<"):
            return "an HTML page (a gateway's?)", ""
        parsed = body.decode(json.detect_encoding(body), "replace")
    inner = (parsed.get("error") or parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(inner, dict):
        return _short(inner, mask), _codes(parsed) if isinstance(parsed, dict) else ""
    message = inner.get("message") or inner.get("detail") or inner
    return _short(message, mask), _codes(inner)


def error_inside(body: bytes) -> int | None:
    """The status that an error names whose response has status 200; None: it is no error."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or parsed.get("text") or parsed.get("segments"):
        return None
    inner = parsed.get("error") or parsed
    if inner is parsed and not (parsed.get("detail") or parsed.get("message")):
        return None
    shapes = [each for each in (inner, parsed) if isinstance(each, dict)]
    for shape in shapes:
        for name in ("status", "status_code", "code"):
            number = finite_number(shape.get(name))
            if number is not None and number in range(400, 600):
                return int(number)
    text, code = error_message(body)
    words = f"{code} {text}".lower()
    return next((status for status, names in _STATUS_WORDS if _any(names, words)), 400)


def _wait_in_text_s(text: str) -> float | None:
    """The wait in a text such as 'try again in 1m30s'; None: it has none."""
    hint = _WAIT.search(text)
    parts = [
        float(number) * _UNITS_S[str(unit.lastgroup)]
        for number, name in _WAIT_PART.findall(hint[1] if hint is not None else "")
        if (unit := _UNITS.match(name.lower())) is not None
    ]
    return _bounded(sum(parts)) if parts else None


def wait_hint_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: Retry-After in seconds or as a date, retry-after-ms.

    None: it does not ask.
    """
    milliseconds = finite_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = finite_number(value)
    if seconds is not None:
        return _bounded(seconds)
    try:
        date = email.utils.parsedate_to_datetime(value or "")
        if date.tzinfo is None:
            # HTTP dates are in UTC (RFC 9110, 5.6.7).
            date = date.replace(tzinfo=UTC)
        return _bounded(date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float:
    # Later dates may lie beyond the year 9999, which `datetime` cannot represent.
    return min(max(seconds, 0.0), _HINT_CEILING_S)


def _codes(inner: dict[str, Any]) -> str:
    return " ".join(str(inner[name]) for name in ("code", "type", "param") if inner.get(name))


def _short(value: Any, mask: Callable[[str], str]) -> str:
    text = storable(str(value)).replace("\0", "")
    # Masked before it is shortened, so that no part of the key remains.
    text = mask(" ".join(text.split()))
    return text if len(text) <= _ERROR_TEXT_LIMIT else text[:_ERROR_TEXT_LIMIT] + "…"
