"""What follows from each HTTP status: the table, and how error responses are read for it."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import Enum, auto
from typing import Any

MAX_HINT_S = 120.0
"""A longer wait fails the recording instead, with a message that says when to come back."""

_ERROR_TEXT_LIMIT = 300
_HINT_CEILING_S = 366 * 24 * 3600.0
_QUOTA_WORDS = ("quota", "billing", "insufficient_funds", "payment", "balance")
_CREDENTIAL_WORDS = ("api key", "api_key", "apikey", "credential", "unauthorized", "token expired")
_FORMAT_WORDS = ("response_format", "timestamp_granularities", "verbose_json")


class Action(Enum):
    """What follows from a response that brings no transcription.

    UNREADABLE, GIVE_UP: it was possibly billed, and another attempt may bring more, or will not.
    """

    RETRY = auto()
    SLOW_DOWN = auto()
    RETRY_LATER = auto()
    FAIL_CHUNK = auto()
    SPLIT_CHUNK = auto()
    SIMPLER_FORMAT = auto()
    REFUSED = auto()
    UNREADABLE = auto()
    GIVE_UP = auto()


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """An action and why; `hint_s` is the wait that the server asks for, in seconds."""

    action: Action
    message: str
    status: int
    hint_s: float = 0.0
    is_outage: bool = False


def decide(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    mask: Callable[[str], str] = lambda text: text,
) -> RetryDecision:
    """Decide by the status, then by what the body and the headers say.

    `mask` takes the key out of what is shown: some servers repeat what they were sent.
    """
    text, code = error_message(body, headers.get("content-type", ""), mask)
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
        action, message, status, hint_s, is_outage=action is Action.RETRY and status >= 500
    )


def _action(status: int, words: str, code: str, headers: Mapping[str, str]) -> Action:  # noqa: PLR0911 - one return a row of the table
    # A redirect is a refusal: following it would hand the key to wherever it points.
    if status in {401, 402, 403} or 300 <= status < 400:
        return Action.REFUSED
    # 'Quota exceeded' is also how some name a rate limit: a code, where there is one, decides.
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
    """Read (message, code) out of any of the shapes in which servers and gateways report errors.

    The code holds what `code`, `type` and `param` say, whichever there are.
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
        if date.tzinfo is None:
            # HTTP knows no other zone (RFC 9110, 5.6.7).
            date = date.replace(tzinfo=UTC)
        return _bounded(date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _bounded(seconds: float) -> float:
    # No calendar shows a date beyond the year 9999.
    return min(max(seconds, 0.0), _HINT_CEILING_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _codes(inner: dict[str, Any]) -> str:
    return " ".join(str(inner[name]) for name in ("code", "type", "param") if inner.get(name))


def _short(value: Any, mask: Callable[[str], str]) -> str:
    # JSON can spell halves of surrogate pairs, which no file and no database takes.
    text = str(value).encode("utf-8", "replace").decode().replace("\0", "")
    # Cut first, a part of the key could be left.
    text = mask(" ".join(text.split()))
    return text if len(text) <= _ERROR_TEXT_LIMIT else text[:_ERROR_TEXT_LIMIT] + "…"
