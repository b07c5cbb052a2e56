# ruff: noqa: RUF001
"""Names are capitalised words that begin no sentence, and are known in any form."""

from __future__ import annotations

import pytest

from sttbatch.kinds.summarization.names import (
    compared_words,
    is_named,
    is_title_case,
    names_of,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Отчёт готовит Иванов.", ["Иванов"]),
        ("Иванов готовит отчёт. Потом Петрова читает.", ["Петрова"]),
        ("Решили: Подписать", []),
        ("«Ромашка» ждёт ООО «Лютик»", ["ООО", "Лютик"]),
        ("Нижний-Тагил и Санкт-Петербург", ["Тагил", "Санкт", "Петербург"]),
        ("As I said, I'll call O'Brien on Monday", ["O'Brien", "Monday"]),
        ("we use iPhone, GPT4 and NATO", ["GPT", "NATO"]),
        ("今天我们签了合同", []),
        ("", []),
    ],
)
def test_names_of(text: str, names: list[str]) -> None:
    assert names_of(text) == names


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Иванову", "скажет иванов"),
        ("Анной", "Анна"),
        ("Ира", "спроси у Иры"),
        ("Павла", "Павел"),
        ("Пётр", "с Петром"),
        ("Том", "Тома"),
        ("Tom's", "Tom"),
        ("НДСа", "ндс"),
        ("Monday", "on monday"),
    ],
)
def test_forms_of_a_name(name: str, source: str) -> None:
    assert is_named(name, compared_words(source))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("Петров", "Иванов и Сидоров"),
        ("Иван", "ивент"),
        ("Smith", "Smart people"),
        ("Олег", "олово"),
        ("Ира", "игра"),
        ("Газпром", "газ"),
    ],
)
def test_another_name(name: str, source: str) -> None:
    assert not is_named(name, compared_words(source))


def test_capitals_of_a_title_tell_nothing() -> None:
    assert is_title_case("Quarterly Budget Review and Plans")
    assert is_title_case("Budget Review")
    assert not is_title_case("Review of the budget with Ivanov")
    assert not is_title_case("Ivanov")
