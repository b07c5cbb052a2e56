# ruff: noqa: RUF001 - Russian texts
from __future__ import annotations

import pytest

from sttbatch.kinds.indexing.words import Language


def exact(text: str, language: str | None = None) -> list[str]:
    return [word.exact for *_, word in Language(language).words(text)]


def have_a_stem_in_common(one: str, other: str, language: str | None) -> bool:
    known = Language(language)
    ((*_, first),) = known.words(one)
    ((*_, second),) = known.words(other)
    return not set(first.stems).isdisjoint(second.stems)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, e-mail me: 2,5 %", ["don", "t", "stop", "e", "mail", "me", "2", "5"]),
        ("Ещё ЁЛКА мой йод за\u0301мок", ["еще", "елка", "мой", "йод", "замок"]),
        ("Café nai\u0308ve ﬁn Straße", ["cafe", "naive", "fin", "strasse"]),
        ("会议记录。第二", ["会", "议", "记", "录", "第", "二"]),
        ("が か", ["が", "か"]),
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा"]),
        ("한국어 말", ["한국어", "말"]),
        ("كِتَاب", ["كتاب"]),
        ("snake_case ... — \0 \ud800", ["snake", "case"]),
    ],
)
def test_words_are_folded(text: str, words: list[str]) -> None:
    assert exact(text) == words


@pytest.mark.parametrize(
    ("one", "other", "language", "common"),
    [
        ("договора", "договорами", "ru", True),
        ("договора", "договорами", "russian", True),
        ("договора", "договорами", None, True),
        ("meetings", "meeting", "ru", True),
        ("договора", "договорами", "en", True),
        ("договора", "договорами", "uk", False),
        ("présentée", "presentee", "fr", True),
        ("Häuser", "hauser", "de", True),
        ("Häuser", "Haus", "de", True),
        ("мои", "мой", "uk", False),
        ("meetings", "meeting", "vi", False),
    ],
)
def test_forms_have_a_stem_in_common(
    one: str, other: str, language: str | None, common: bool
) -> None:
    assert have_a_stem_in_common(one, other, language) is common
