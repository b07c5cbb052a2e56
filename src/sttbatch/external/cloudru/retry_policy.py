"""The retry policy: what follows from each HTTP status and error response."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum, auto
from typing import Any

MAX_HINT_S = 120.0
"""If the endpoint asks for a longer wait, the recording fails, and its message says until when."""

_ERROR_TEXT_LIMIT = 300
_HINT_CEILING_S = 366 * 24 * 3600.0
_QUOTA_WORDS = ("quota", "billing", "insufficient_funds", "payment", "balance")
_CREDENTIAL_WORDS = ("api key", "api_key", "apikey", "credential", "unauthorized", "token expired")
_FORMAT_WORDS = ("response_format", "timestamp_granularities", "verbose_json")


class Action(Enum):
    """What to do after a response whose status is not 200."""

    RETRY = auto()
    SLOW_DOWN = auto()
    RETRY_LATER = auto()
    FAIL_CHUNK = auto()
    SPLIT_CHUNK = auto()
    SIMPLER_FORMAT = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """An action and its reason; `hint_s` is the wait in seconds that the server asks for."""

    action: Action
    message: str
    hint_s: float = 0.0
    is_outage: bool = False


def decide(status: int, headers: Mapping[str, str], body: bytes) -> RetryDecision:
    """Decide by the status, the body and the headers of a response."""
    text, code = error_message(body, headers.get("content-type", ""))
    message = f"{status}: {text}" if text else str(status)
    hint_s = wait_hint_s(headers)
    action = _action(status, f"{text} {code}".lower(), code, headers)
    if action is Action.RETRY and hint_s > MAX_HINT_S:
        action = Action.RETRY_LATER
    elif action is Action.RETRY and status == 429:
        action = Action.SLOW_DOWN
    if 300 <= status < 400:
        message += " redirects, which are not followed; check the base URL"
    return RetryDecision(
        action, message, hint_s, is_outage=action is Action.RETRY and status >= 500
    )


def _action(status: int, words: str, code: str, headers: Mapping[str, str]) -> Action:  # noqa: PLR0911 - one return a row of the table
    # A redirect is a refusal: following it would send the key to another address.
    if status in {401, 402, 403} or 300 <= status < 400:
        return Action.REFUSED
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


def error_message(body: bytes, content_type: str = "") -> tuple[str, str]:
    """(message, code) of an error response in any of the forms that servers and gateways use.

    The code consists of `code`, `type` and `param`, as far as they are there.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        if "html" in content_type or body.lstrip().startswith(b"<"):
            return "an HTML page (a gateway's?)", ""
        return _short(body.decode("utf-8", "replace")), ""
    if not isinstance(parsed, dict):
        return _short(parsed), ""
    inner = parsed.get("error") or parsed
    if not isinstance(inner, dict):
        return _short(inner), _codes(parsed)
    return _short(inner.get("message") or inner.get("detail") or inner), _codes(inner)


def wait_hint_s(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait: Retry-After in seconds or as a date, retry-after-ms."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    try:
        date = email.utils.parsedate_to_datetime(value or "")
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        # HTTP dates are in UTC (RFC 9110, 5.6.7).
        date = date.replace(tzinfo=UTC)
    return _bounded(date.timestamp() - time.time())


def _bounded(seconds: float) -> float:
    # Later dates may lie beyond the year 9999, which `datetime` cannot represent.
    return min(max(seconds, 0.0), _HINT_CEILING_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _codes(inner: dict[str, Any]) -> str:
    return " ".join(str(inner[name]) for name in ("code", "type", "param") if inner.get(name))


def _short(value: Any) -> str:
    text = " ".join(str(value).encode("utf-8", "replace").decode().split())
    return text if len(text) <= _ERROR_TEXT_LIMIT else text[:_ERROR_TEXT_LIMIT] + "…"
