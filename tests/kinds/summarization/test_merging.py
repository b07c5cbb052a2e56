"""What is said twice comes once, and what only sounds alike stays apart."""

from __future__ import annotations

import pytest

from sttbatch.kinds.summarization.merging import groups_of, tokens_of, without_repeats
from sttbatch.kinds.summarization.summary import Statement


def statement(
    text: str, *segments: int, who: str | None = None, section: str = "points"
) -> Statement:
    return Statement(section, text, segments, float(segments[0]), who)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Склад арендуют за 5200 рублей.", "склад арендуют за 5200 рублей"),
        ("Склад решили арендовать за 5200 рублей", "Склад арендовали за 5200 рублей"),
        ("Договор поставки подпишет Ольга", "Договор на поставку подпишет Ольга"),
    ],
)
def test_what_says_the_same_is_one_statement(text: str, other: str) -> None:
    (kept,) = without_repeats([statement(other, 8, 9), statement(text, 7, 8)])
    assert kept == statement(max(text, other, key=len), 7, 8, 9)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Склад арендуют за 5200 рублей", "Склад арендуют за 2500 рублей"),
        ("Склад будет арендован весной", "Склад не будет арендован весной"),
        ("Иванов подготовит отчёт по продажам", "Петров подготовит отчёт по продажам"),
        ("Отчёт по продажам готовит Иванов", "Отчёт по продажам готовит Петров"),
        ("Склад арендуют весной", "Договор подпишет директор"),
    ],
)
def test_what_says_something_else_is_not(text: str, other: str) -> None:
    statements = [statement(text, 7), statement(other, 7)]
    assert without_repeats(statements) == statements


def test_the_same_from_elsewhere_is_one_statement_only_if_it_is_the_same_text() -> None:
    text = "Сделаем перерыв на десять минут"
    assert without_repeats([statement(text, 3), statement(f"{text}.", 90)]) == [
        statement(f"{text}.", 3, 90)
    ]
    apart = [statement(text, 3), statement("Сделаем перерыв на десять минут сейчас", 90)]
    assert without_repeats(apart) == apart


def test_sections_and_who_are_kept_apart() -> None:
    apart = [
        statement("Подписать договор", 5, section="actions", who="Ольга"),
        statement("Подписать договор", 5, section="actions", who="Иван"),
        statement("Подписать договор", 5, section="decisions"),
    ]
    assert without_repeats(apart) == apart
    known, unknown = apart[0], statement("Подписать договор нужно", 5, section="actions")
    assert without_repeats([unknown, known]) == [known]


def test_groups_hold_all_statements_within_a_limit() -> None:
    statements = [statement("слово " * (number % 9 + 1), number) for number in range(200)]
    groups = groups_of(statements, 500)
    assert [each for group in groups for each in group] == statements
    assert all(sum(map(tokens_of, group)) <= 500 for group in groups)
    assert len(groups) < 1.2 * sum(map(tokens_of, statements)) / 500 + 1
    assert groups_of(statements[:1], 1) == [statements[:1]]
