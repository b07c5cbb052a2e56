"""Errors of any shape lead to a decision; hints of any shape to a wait."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.external.cloudru.retry_policy import Action, decide, error_message, wait_hint_s

YEAR_S = 366 * 24 * 3600


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "soon"}, 0),
        ({"retry-after": "nan"}, 0),
        ({"retry-after": "1e999"}, 0),
        ({"retry-after": "99999999999999999"}, YEAR_S),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, YEAR_S),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, 0),
        ({"retry-after": f"Fri, 31 Dec 9999 23:59:59 +{'9' * 30}"}, 0),
        ({"retry-after": "9" * 5000}, 0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "?", "retry-after": "9"}, 9),
    ],
)
def test_hints(headers: dict[str, str], seconds: float) -> None:
    assert wait_hint_s(headers) == seconds


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
