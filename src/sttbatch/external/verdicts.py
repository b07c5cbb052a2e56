"""What is done with each status: the table, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from sttbatch.external.answers import error_message, wait_hint_s

MAX_HINT_S = 120.0
"""A longer wait is not sat out; the file ends and its message says when to come back."""

_QUOTA_WORDS = ("quota", "billing", "insufficient_funds", "payment", "balance")
_CREDENTIAL_WORDS = ("api key", "api_key", "apikey", "credential", "unauthorized", "token expired")
_FORMAT_WORDS = ("response_format", "timestamp_granularities", "verbose_json")


class Action(Enum):
    """What follows from an answer that is not 200."""

    RETRY = auto()
    SLOW_DOWN = auto()
    RETRY_LATER = auto()
    FAIL_CHUNK = auto()
    SPLIT_CHUNK = auto()
    SIMPLER_FORMAT = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action and why; `hint_s` is the wait the server asks for, in seconds."""

    action: Action
    message: str
    hint_s: float | None = None
    is_outage: bool = False


def verdict_on(  # noqa: PLR0911 - one return a row of the table
    status: int, headers: Mapping[str, str], body: bytes
) -> Verdict:
    """Decide by status, then by what the body and the headers say."""
    text, code = error_message(body, headers.get("content-type", ""))
    message = f"{status}: {text}" if text else str(status)
    words = f"{text} {code}".lower()
    hint_s = wait_hint_s(headers)
    if status in {401, 402, 403} or (status == 429 and _any(_QUOTA_WORDS, words)):
        return Verdict(Action.REFUSED, message)
    if status == 400 and _any(_CREDENTIAL_WORDS, words):
        return Verdict(Action.REFUSED, message)
    if status == 400 and _any(_FORMAT_WORDS, words):
        return Verdict(Action.SIMPLER_FORMAT, message)
    if status == 413:
        return Verdict(Action.SPLIT_CHUNK, message)
    if 300 <= status < 400:
        # Following would hand the key to wherever it points.
        return Verdict(
            Action.REFUSED, f"{message} redirects, which are not followed; check the base URL"
        )
    retryable = status in {408, 409, 425, 429} or status >= 500
    wish = headers.get("x-should-retry", "").lower()
    if (not retryable and wish != "true") or wish == "false":
        return Verdict(Action.FAIL_CHUNK, message)
    if hint_s is not None and hint_s > MAX_HINT_S:
        return Verdict(Action.RETRY_LATER, message, hint_s)
    if status == 429:
        return Verdict(Action.SLOW_DOWN, message, hint_s)
    return Verdict(Action.RETRY, message, hint_s, is_outage=status >= 500)


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
