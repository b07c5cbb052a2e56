"""Errors of any shape lead to a decision; hints of any shape to a wait."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.external.cloudru.retry_policy import (
    Action,
    decide,
    error_inside,
    error_message,
    wait_hint_s,
)

YEAR_S = 366 * 24 * 3600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "99999999999999999"}, YEAR_S),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, YEAR_S),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, None),
        ({"retry-after": f"Fri, 31 Dec 9999 23:59:59 +{'9' * 30}"}, None),
        ({"retry-after": "9" * 5000}, None),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "?", "retry-after": "9"}, 9),
    ],
)
def test_hints(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_hint_s(headers) == seconds


BILLING = "Need more? Upgrade your plan at https://console.example/settings/billing"


@pytest.mark.parametrize(
    ("text", "headers", "seconds"),
    [
        (f"Rate limit reached. Please try again in 2s. {BILLING}", {}, 2),
        (f"Try again in 1m30s. {BILLING}", {}, 90),
        (f"retry after 250 ms; {BILLING}", {}, 0.25),
        (f"Please wait 1 minute, 5 seconds. {BILLING}", {}, 65),
        (f"Повторите запрос через 20 секунд. {BILLING}", {}, 20),
        (f"no. {BILLING}", {"retry-after": "3"}, 3),
        (f"no. {BILLING}", {"retry-after": "0"}, 0),
        (f"Try again in 1h. {BILLING}", {}, 3600),
        (f"Try again in 1 day. {BILLING}", {}, 86_400),
        (f"Повторите запрос через 2 суток. {BILLING}", {}, 172_800),
        (BILLING, {}, None),
        (f"The quota is filled again after 1 month. {BILLING}", {}, None),
        (f"Подождите 2 месяца. {BILLING}", {}, None),
        (f"Try again later, 20 requests are too many. {BILLING}", {}, None),
    ],
)
def test_a_429_that_says_how_long_to_wait_is_a_rate_limit(
    text: str, headers: dict[str, str], seconds: float | None
) -> None:
    """Whatever words it has; without a wait a code or a text of billing is a refusal."""
    for code in (None, "insufficient_quota"):
        body = json.dumps({"error": {"message": text, "code": code}}).encode()
        decision = decide(429, headers, body)
        if seconds is None:
            assert decision.action is Action.REFUSED
        else:
            later = seconds > 120
            assert decision.action is (Action.RETRY_LATER if later else Action.SLOW_DOWN)
            assert decision.hint_s == seconds


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"error": {"message": "overloaded", "type": "server_error", "code": 503}}, 503),
        ({"error": {"message": "no", "code": "429"}}, 429),
        ({"detail": "Not here", "status_code": 404}, 404),
        ({"error": {"message": "slow down", "type": "rate_limit_error"}}, 429),
        ({"error": "the model is overloaded"}, 503),
        ({"error": {"message": "no", "code": "invalid_api_key"}}, 401),
        ({"text": "", "error": {"message": "no such file", "code": 400}}, 400),
        ({"error": {"message": "odd"}}, 400),
        ({"text": "an error", "error": {"code": 503}}, None),
        ({"text": "", "error": None}, None),
        ({"segments": []}, None),
        ({"code": 503}, None),
        ([503], None),
    ],
)
def test_an_error_inside_a_200_names_a_status(error: object, status: int | None) -> None:
    assert error_inside(json.dumps(error).encode()) == status


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000"])
def test_a_date_is_in_universal_time(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Vladivostok")
    time.tzset()
    try:
        date = email.utils.formatdate(time.time() + 60, usegmt=True).replace("GMT", zone)
        assert wait_hint_s({"retry-after": date}) == pytest.approx(60, abs=1.5)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_far_date_can_be_shown() -> None:
    decision = decide(503, {"retry-after": "99999999999999999"}, b"")
    assert decision.action is Action.RETRY_LATER
    time.localtime(time.time() + decision.hint_s)


def test_long_messages_are_cut() -> None:
    message, _ = error_message(b"x" * 5000)
    assert len(message) == 301


HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-should-retry", "content-type"]),
    st.text(max_size=20) | st.floats().map(str) | st.integers().map(str),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(201, 599), HEADERS, st.binary(max_size=60))
def test_anything_leads_to_a_verdict(status: int, headers: Any, body: bytes) -> None:
    decision = decide(status, headers, body)
    assert decision.message.startswith(str(status))
    assert 0 <= decision.hint_s <= YEAR_S
    decision.message.encode()
