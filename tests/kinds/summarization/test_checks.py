# ruff: noqa: RUF001
"""What a model says is trusted if the segments that it cites say so, in the right language."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sttbatch.kinds.summarization.checks import Checker, Fault, Reason, draft_of
from sttbatch.kinds.summarization.summary import SECTIONS, Statement, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance

from .models import OPTIONS, said

TALK = said(
    "Иван Петрович сказал, что склад арендуем за пять тысяч двести рублей.",
    "Договор подпишет Ольга до пятницы.",
    "На Газпром уйдёт 12 процентов.",
    "Оплата двенадцатого мая",
    "две тысячи двадцать четвёртого года.",
)
CITED = {each.id: (each.id,) for each in TALK}


def reason(
    entry: Any,
    section: str = "points",
    options: SummaryOptions = OPTIONS,
    talk: list[Utterance] = TALK,
) -> Reason | None:
    draft = draft_of({section: [entry]}, SECTIONS)
    assert draft is not None
    (candidate,) = draft.candidates
    result = Checker(talk, options).checked(candidate, CITED)
    return result.reason if isinstance(result, Fault) else None


def test_terms_of_a_glossary_count_as_said() -> None:
    entry = {"text": "На Gazprom уйдёт 12 процентов", "ids": [3]}
    assert reason(entry) is Reason.NAME
    assert reason(entry, options=replace(OPTIONS, terms=("Gazprom",))) is None


@pytest.mark.parametrize(
    "value",
    [None, [], 1, "text", {}, {"title": "Итоги"}, {"summary": "…"}, {"points": "текст"},
     {"points": None}, {"text": "…", "ids": [1]}],
)  # fmt: skip
def test_what_is_no_answer(value: object) -> None:
    assert draft_of(value, SECTIONS) is None


def test_halves_of_characters_can_be_stored_and_sent() -> None:
    entry = {"text": "Склад\ud83d", "who": "\udfffОльга", "ids": [1]}
    draft = draft_of({"title": "a\ud83d", "actions": [entry]}, SECTIONS)
    assert draft is not None
    (candidate,) = draft.candidates
    assert (draft.title, candidate.text, candidate.who) == ("a\ufffd", "Склад\ufffd", "\ufffdОльга")


def test_an_answer_may_lack_sections_and_have_more() -> None:
    draft = draft_of({"points": [], "remarks": [{"text": "a", "ids": [1]}]}, SECTIONS)
    assert draft is not None
    assert (draft.title, draft.candidates) == ("", ())


@pytest.mark.parametrize(
    "entry",
    [
        {"text": "Склад стоит 5200 рублей", "ids": [1]},
        {"text": "Склад стоит 5 200 рублей, как сказал Иван", "ids": [1, 3]},
        {"text": "  Доля\nГазпрома: 12 % ", "ids": ["3", 3]},
        {"text": "Оплатить 12.05.2024", "ids": [4, 5]},
        {"text": "OK", "ids": [1]},
    ],
)
def test_what_was_said_is_trusted(entry: Any) -> None:
    assert reason(entry) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"text": "Склад стоит 5200 рублей", "ids": [2]}, Reason.FIGURE),
        ({"text": "Склад стоит 2500 рублей", "ids": [1, 2, 3]}, Reason.FIGURE),
        ({"text": "Склад стоит двадцать тысяч", "ids": [1]}, Reason.FIGURE),
        ({"text": "Об этом говорил Сергей", "ids": [1]}, Reason.NAME),
        ({"text": "Об этом говорил Иван", "ids": [3]}, Reason.NAME),
        ({"text": "The warehouse costs 5200 roubles", "ids": [1]}, Reason.LANGUAGE),
        ({"text": "Склад", "ids": []}, Reason.IDS),
        ({"text": "Склад", "ids": [6]}, Reason.IDS),
        ({"text": "Склад", "ids": [1, 6]}, Reason.IDS),
        ({"text": "Склад", "ids": [1, None]}, Reason.IDS),
        ({"text": "Склад", "ids": [True]}, Reason.IDS),
        ({"text": "Склад", "ids": 1}, Reason.IDS),
        ({"text": "Склад"}, Reason.IDS),
        ({"text": " ", "ids": [1]}, Reason.FORM),
        ({"text": ["Склад"], "ids": [1]}, Reason.FORM),
        ("Склад", Reason.FORM),
        (None, Reason.FORM),
    ],
)
def test_what_was_not_said_is_not(entry: Any, expected: Reason) -> None:
    assert reason(entry) is expected


def test_a_statement_has_the_time_of_its_first_segment() -> None:
    checker = Checker(TALK, OPTIONS)
    draft = draft_of({"points": [{"text": "Склад", "ids": [3, 1, 3], "time": 99}]}, SECTIONS)
    assert draft is not None
    statement = checker.checked(draft.candidates[0], {1: (3,), 3: (2, 3)})
    assert statement == Statement("points", "Склад", (2, 3), 5.0)


@pytest.mark.parametrize(
    ("who", "when", "expected"),
    [
        ("Ольга", "до пятницы", None),
        ("Ольгой", "к пятнице", None),
        (None, None, None),
        ("null", "-", None),
        (["Ольга"], None, None),
        ("Сергей", None, Reason.NAME),
        ("Ольга и Сергей", None, Reason.NAME),
        ("Ольга", "до понедельника", Reason.NAME),
        ("Ольга", "до 15 числа", Reason.FIGURE),
        ("Спикер", None, Reason.NAME),
    ],
)
def test_who_and_when_were_said(who: Any, when: Any, expected: Reason | None) -> None:
    entry = {"text": "Подписать договор", "who": who, "when": when, "ids": [2]}
    assert reason(entry, "actions") is expected


def test_who_may_be_a_speaker() -> None:
    talk = [replace(each, speaker="2") for each in TALK]
    for who, expected in (("2", None), ("Спикер 2", None), ("Speaker 3", Reason.FIGURE)):
        entry = {"text": "Подписать договор", "who": who, "ids": [2]}
        assert reason(entry, "actions", talk=talk) is expected


def test_in_another_language_names_are_not_compared_but_figures_are() -> None:
    options = replace(OPTIONS, language="en")
    unknown = replace(options, transcript_language=None)
    entry = {"text": "As Ivan said, the warehouse costs 5200 roubles", "ids": [1]}
    assert reason(entry, options=options) is None
    assert reason(entry, options=unknown) is None
    assert reason({**entry, "text": "The warehouse costs 2500 roubles"}, options=options) is (
        Reason.FIGURE
    )
    assert reason({"text": "Склад стоит 5200 рублей", "ids": [1]}, options=options) is (
        Reason.LANGUAGE
    )


def test_capitals_of_german_nouns_are_no_names() -> None:
    options = replace(OPTIONS, transcript_language="de")
    talk = said("Wir unterschreiben den Vertrag in fünf Tagen.")
    entry = {"text": "In 5 Tagen gibt es eine Unterschrift", "ids": [1]}
    assert reason(entry, options=options, talk=talk) is None
    assert reason({**entry, "text": "In 50 Tagen"}, options=options, talk=talk) is Reason.FIGURE


def test_titles_are_checked_but_for_capitals_where_all_words_have_them() -> None:
    options = replace(OPTIONS, transcript_language="en")
    checker = Checker(said("We rent the warehouse for 5200."), options)
    assert checker.title_fault("", {1: (1,)}) is None
    assert checker.title_fault("Renting a New Warehouse Together", {1: (1,)}) is None
    assert checker.title_fault("Renting from Smith", {1: (1,)}) is Reason.NAME
    assert checker.title_fault("A warehouse for 2500", {1: (1,)}) is Reason.FIGURE
    assert Checker(TALK, OPTIONS).title_fault("Склад Сидорова", CITED) is Reason.NAME
