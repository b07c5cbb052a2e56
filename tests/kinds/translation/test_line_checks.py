"""No line of an answer is trusted that may be another one's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.kinds.translation.line_checks import BESIDE, trusted_lines
from sttbatch.kinds.translation.windows import Line

WORDS = ("contract", "terms", "were", "signed", "on", "Monday", "by", "both", "sides", "archive")


def asked_lines(count: int, seed: int = 1, first: int = 101) -> list[Line]:
    """Lines of a few words, of which no two are the same."""
    choose = random.Random(seed)
    return [
        Line(first + n, f"{' '.join(choose.choices(WORDS, k=choose.randint(2, 14)))} {n + 10}")
        for n in range(count)
    ]


def translated(line: Line) -> str:
    return " ".join(f"{word}o" for word in line.text.split()[:-1]) + " " + line.text.split()[-1]


def answer(lines: list[Line]) -> list[dict[str, Any]]:
    return [{"id": line.id, "text": translated(line)} for line in lines]


def test_a_right_answer_is_trusted_in_any_order() -> None:
    lines = asked_lines(40)
    right = {line.id: translated(line) for line in lines}
    entries = answer(lines)
    assert trusted_lines(lines, {"segments": entries}) == right
    assert trusted_lines(lines, {"segments": entries[::-1], "note": "done"}) == right
    spelled = [{"id": str(each["id"]), "text": f"  {each['text']}\n"} for each in entries]
    assert trusted_lines(lines, {"segments": spelled}) == right


@pytest.mark.parametrize(
    "value",
    [None, [], "text", {}, {"segments": None}, {"segments": [None]}, {"segments": [{"text": "a"}]},
     {"segments": [{"id": True, "text": "a"}]}, {"segments": [{"id": 101.0, "text": "a"}]},
     {"segments": [{"id": "9" * 5000, "text": "a"}]}],
)  # fmt: skip
def test_what_is_no_answer(value: object) -> None:
    assert trusted_lines(asked_lines(3), value) == {}


def test_a_count_of_its_own_is_not_trusted() -> None:
    lines = asked_lines(40)
    entries = [{"id": n, "text": translated(line)} for n, line in enumerate(lines, 1)]
    assert trusted_lines(lines, {"segments": entries}) == {}
    extra = [*answer(lines), {"id": lines[-1].id + 1, "text": "and more"}]
    assert trusted_lines(lines, {"segments": extra}) == {}


@pytest.mark.parametrize("text", ["", "  ", "…", None, 7])
def test_an_empty_line_is_missing(text: object) -> None:
    lines = asked_lines(20)
    entries = answer(lines)
    entries[10]["text"] = text
    trusted = trusted_lines(lines, {"segments": entries})
    assert set(trusted) == {line.id for line in lines[: 10 - BESIDE] + lines[11 + BESIDE :]}


def test_a_line_without_letters_may_stay_without() -> None:
    lines = [Line(1, "♪ ♪"), Line(2, "Yes.")]
    entries = [{"id": 1, "text": "♪"}, {"id": 2, "text": "Да."}]
    assert trusted_lines(lines, {"segments": entries}) == {1: "♪", 2: "Да."}


def test_figures_stay() -> None:
    lines = [Line(1, "It cost 1250 roubles in 2024, or 5 a day.")]
    right, wrong = "Это в 2024 году стоило 1250 рублей, пять в день.", "Это стоило 1520 рублей."
    assert trusted_lines(lines, {"segments": [{"id": 1, "text": right}]}) == {1: right}
    assert trusted_lines(lines, {"segments": [{"id": 1, "text": wrong}]}) == {}


def drop(entries: list[dict[str, Any]], at: int) -> None:
    del entries[at]


def double(entries: list[dict[str, Any]], at: int) -> None:
    entries.insert(at, {"id": entries[at]["id"], "text": "another text"})


def merge(entries: list[dict[str, Any]], at: int) -> None:
    """Two lines under the id of the first."""
    second = entries.pop(min(at + 1, len(entries) - 1))
    entries[min(at, len(entries) - 1)]["text"] += " " + second["text"]


def shift(entries: list[dict[str, Any]], at: int) -> None:
    """Two lines under the id of the first, all others one id earlier, and the last id missing."""
    at = min(at, len(entries) - 2)
    texts = [each["text"] for each in entries]
    texts[at : at + 2] = [f"{texts[at]} {texts[at + 1]}"]
    entries.pop()
    for entry, text in zip(entries, texts, strict=True):
        entry["text"] = text


@pytest.mark.parametrize("wrong", [drop, double, merge])
@settings(max_examples=60)
@given(at=st.integers(0, 39), seed=st.integers(0, 10**6))
def test_what_is_trusted_is_right(
    wrong: Callable[[list[dict[str, Any]], int], None], at: int, seed: int
) -> None:
    lines = asked_lines(40, seed)
    entries = answer(lines)
    wrong(entries, at)
    trusted = trusted_lines(lines, {"segments": entries})
    right = {line.id: translated(line) for line in lines}
    assert all(right[line_id] == text for line_id, text in trusted.items())
    assert len(trusted) >= 40 - 2 - 3 * BESIDE


@settings(max_examples=60)
@given(at=st.integers(0, 39), seed=st.integers(0, 10**6))
def test_shifted_lines_are_not_trusted(at: int, seed: int) -> None:
    """With figures of their own in each line none is, whatever their lengths."""
    lines = asked_lines(40, seed)
    entries = answer(lines)
    shift(entries, at)
    right = {line.id: translated(line) for line in lines}
    trusted = trusted_lines(lines, {"segments": entries})
    assert all(right[line_id] == text for line_id, text in trusted.items())


def test_shifted_lines_without_figures_are_told_by_their_lengths() -> None:
    found = 0
    for seed in range(50):
        lines = [Line(line.id, line.text.rpartition(" ")[0]) for line in asked_lines(40, seed)]
        entries = [{"id": line.id, "text": line.text.upper()} for line in lines]
        assert len(trusted_lines(lines, {"segments": entries})) == 40
        shift(entries, 20)
        found += trusted_lines(lines, {"segments": entries}) == {}
    assert found >= 45


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("всего 10000 рублей", "10,000 rubles in all"),
        ("встреча в 15:30", "the meeting is at 3:30 p.m."),
        ("им было по 20 лет", "they were twenty years old"),
        ("12 500 человек", "12500 people"),
        ("номера 45 123", "numbers 45, 123"),
        ("عام ٢٠٢٤", "the year 2024"),
    ],
)
def test_figures_may_be_written_as_the_language_does(source: str, text: str) -> None:
    assert trusted_lines([Line(1, source)], {"segments": [{"id": 1, "text": text}]}) == {1: text}


def test_figures_of_the_next_line_are_known_however_they_are_written() -> None:
    lines = [Line(1, "и ещё"), Line(2, "10000 рублей")]
    entries = [{"id": 1, "text": "and 10,000"}, {"id": 2, "text": "10,000 rubles"}]
    assert trusted_lines(lines, {"segments": entries}) == {2: "10,000 rubles"}
