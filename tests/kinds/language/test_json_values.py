"""JSON in what chat models write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.kinds.language.json_values import json_value

VALUE = {"points": [{"text": "a [0] {b}", "ids": [1, 2]}]}
TEXT = json.dumps(VALUE)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "said",
    [
        TEXT,
        f"\n{TEXT}\n\n",
        f"```json\n{TEXT}\n```",
        f"Here it is:\n```\n{TEXT}\n```\nDo you want more?",
        f"Sure! The answer is {TEXT} and that is all [I] think.",
        f'<think>Perhaps {{}} or {{"a": 1}}?</think>\n{TEXT}',
        f"1. [x] a list\n2. {{not json}}\n{TEXT}",
        json.dumps(VALUE, indent=2).replace('"a [0] {b}"', '"a [0] {b}"'),
    ],
)
def test_it_is_found_in_whatever_stands_around_it(said: str) -> None:
    assert json_value(said) == VALUE


@pytest.mark.parametrize("said", ["", "no", "[", "{" * 5000, "[" * 100_000, '"text"', "12", "null"])
def test_there_is_none(said: str) -> None:
    assert json_value(said) is None


@settings(max_examples=50)
@given(st.dictionaries(st.text(), VALUES, max_size=3) | st.lists(VALUES, max_size=3))
def test_every_value_is_read(value: object) -> None:
    assert json_value(json.dumps(value)) == value
    assert json_value(f"```json\n{json.dumps(value, ensure_ascii=False)}\n```") == value


@given(st.text())
def test_no_text_raises(text: str) -> None:
    json_value(text)
