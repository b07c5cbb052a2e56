# ruff: noqa: RUF001 - Russian texts
"""Words are found in other forms than those of the text, and no others are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.backends import Backend
from tests.kinds.indexing.library import Library, opened, sentences

SUPPLIER = sentences("""
    Добрый день, коллеги, сегодня мы обсуждаем сроки
    договора с новым поставщиком оборудования.
    Юрист просила не подписывать соглашение до пятницы.
    Бухгалтерия перечислила аванс, но банк вернул платёж.
    Мы ждали подтверждения трёх складов в Новосибирске.
    Ёлки привезут раньше, чем гирлянды и коробки для подарков.
    Директор заметил, что прошлогодние расходы выросли вдвое.
    Надо позвонить в службу поддержки и обновить прошивку роутеров.
""")
LECTURE = sentences("""
    Welcome back, everyone; last week we were discussing glaciers
    and the rivers that carried sand into the valleys.
    Some students had asked why mountains keep growing.
    The plates are pushing against one another, slowly but constantly.
    Our measurements were taken by satellites that orbit the poles.
    Please read the chapters about volcanoes before the next lesson.
    The café near the library offers discounts to naïve first-year students.
    Companies that ignored these warnings lost several buildings.
""")

FOUND = {
    # Russian: cases, numbers, tenses, ё, phrases over the end of a segment.
    "срок договор": "supplier.mp3 0",
    '"срока договоров"': "supplier.mp3 0",
    "поставщики": "supplier.mp3 5",
    "новые поставщика": "supplier.mp3 5",
    '"новых поставщиков"': "supplier.mp3 5",
    "обсуждала": "supplier.mp3 0",
    "соглашения": "supplier.mp3 10",
    "подписывала": "supplier.mp3 10",
    "юристы": "supplier.mp3 10",
    "бухгалтерии авансом": "supplier.mp3 15",
    "платеж": "supplier.mp3 15",
    "банки": "supplier.mp3 15",
    "склад": "supplier.mp3 20",
    '"подтверждение трех склада"': "supplier.mp3 20",
    "елками": "supplier.mp3 25",
    "подарок OR гирляндами": "supplier.mp3 25",
    "директора расходами": "supplier.mp3 30",
    "прошив*": "supplier.mp3 35",
    '"служба поддержка"': "supplier.mp3 35",
    # English.
    "glacier river": "lecture.mp3 0",
    '"river that carries"': "lecture.mp3 5",
    "discussed": "lecture.mp3 0",
    "student asking": "lecture.mp3 10",
    "growth OR grows": "lecture.mp3 10",
    '"plate is" OR "plates are pushed"': "lecture.mp3 15",
    "measurement satellite": "lecture.mp3 20",
    "volcano chapter": "lecture.mp3 25",
    "cafe discounted": "lecture.mp3 30",
    "naive": "lecture.mp3 30",
    "ignore warning -glaciers": "lecture.mp3 35",
    '"lost several building"': "lecture.mp3 35",
}
NOT_FOUND = [
    "стол",
    "договорённость",
    "сроки -поставщик",
    '"договора сроки"',
    '"новые оборудование"',
    "склад volcano",
    "plateau",
    '"glacier rivers"',
    "satell",
    "студент*",
]


@pytest.fixture(scope="module")
def library(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder: Path = tmp_path_factory.mktemp("library")
    with opened(backend, folder) as library:

        async def fill() -> None:
            await library.add("supplier.mp3", SUPPLIER, "ru")
            await library.add("lecture.mp3", LECTURE, "english")
            await library.indexer.update()

        asyncio.run(fill())
        yield library


@pytest.mark.parametrize(("query", "expected"), FOUND.items())
def test_other_forms_are_found(library: Library, query: str, expected: str) -> None:
    found = asyncio.run(library.found(query))
    assert expected in found
    assert len(found) <= 2


@pytest.mark.parametrize("query", NOT_FOUND)
def test_other_words_are_not(library: Library, query: str) -> None:
    assert asyncio.run(library.found(query)) == []
