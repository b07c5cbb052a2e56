# ruff: noqa: RUF001
"""A figure was said if it was said in any form, and is invented otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sttbatch.kinds.language.figures import figures_of, values_said


def is_said(text: str, source: str) -> bool:
    values = values_said(source)
    return all(figure.is_said(values) for figure in figures_of(text))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Придут 5 человек", "придут пять человек"),
        ("для 5 отделов, 7-й этаж", "для пяти отделов на седьмом этаже"),
        ("10 000 рублей", "это 10000 рублей"),
        ("10\u00a0000 рублей", "это 10,000 рублей"),
        ("10000", "десять тысяч"),
        ("10 тыс. рублей", "10000 рублей"),
        ("10k", "ten thousand"),
        ("10–15 тысяч", "10–15 тысяч"),
        ("5 %", "пять процентов"),
        ("10,5 %", "10.5 процента"),
        ("5,5 млн", "пять с половиной миллионов"),
        ("1500", "полторы тысячи"),
        ("1 250,50", "1,250.50"),
        ("1.250", "1250"),
        ("12.05.2024", "двенадцатого мая 2024 года"),
        ("2024-05-12", "12 мая 2024"),
        ("15 мая", "пятнадцатое мая"),
        ("May 15", "the fifteenth of May"),
        ("в 2025 году", "в двадцать пятом году"),
        ("10:30", "в десять тридцать"),
        ("10:00", "в десять утра"),
        ("25 тысяч", "двадцать пять тысяч"),
        ("двадцать пять", "25 штук"),
        ("250", "two hundred and fifty"),
        ("1,200 units", "twelve hundred units"),
        ("2 345 678", "два миллиона триста сорок пять тысяч шестьсот семьдесят восемь"),
        ("2024 и 15 000", "в 2024 пятнадцать тысяч"),
        ("10 200", "по 10 за 200"),
        ("Пункт 3.1.2", "пункты 3, 1 и 2"),
        ("один из двух вариантов, второй дешевле", "обсудили варианты"),
        ("A4", "А4"),  # heard in Cyrillic
        ("без чисел", ""),
    ],
)
def test_figures_that_were_said(text: str, source: str) -> None:
    assert is_said(text, source)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("500", "50"),
        ("50 тысяч", "50 рублей"),
        ("5 млн", "5 тысяч"),
        ("7", "семья"),
        ("40", "срок"),
        ("двадцать пять тысяч", "25"),
        ("семьдесят", "семь десятков и ещё"),
        ("12.05.2024", "12 мая"),
        ("12.06.2024", "12.05.2024"),
        ("10 000", "10"),
        ("10,5", "10 и 6"),
        ("1830", "30"),
        ("11:00", "в десять утра"),
        ("100", "в десять утра"),
        ("3", ""),
        ("9" * 5000, "9"),
    ],
)
def test_figures_that_were_not_said(text: str, source: str) -> None:
    assert not is_said(text, source)


@settings(deadline=None)
@given(st.integers(0, 10**12))
def test_a_number_is_itself_however_it_is_grouped(number: int) -> None:
    for text in (str(number), f"{number:,}", f"{number:,}".replace(",", " ")):
        assert is_said(text, f"было {number} штук")
        assert is_said(f"стало {number}", text)


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_read(text: str, source: str) -> None:
    assert is_said(text, text)
    is_said(text, source)
