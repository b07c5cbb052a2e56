# ruff: noqa: RUF001
"""Numbers as Russian and English spell them, in every form."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

_ORDINAL = "(?:ый|ой|ий|ая|ое|ого|ому|ую|ым|ом|ые|ых|ыми)"
_CASES = f"(?:ь|и|ью|{_ORDINAL})"

_RUSSIAN: dict[str, str] = {
    "0": "н[оу]л(?:ь|я|ю|ем|е)",
    "0.5": "половин(?:а|ы|е|у|ой)",
    "1": f"од(?:ин|н(?:а|о|ого|ой|ому|у|им|ом))|перв{_ORDINAL}",
    "1.5": "полтор(?:а|ы)|полутор(?:а|ы)",
    "2": f"дв(?:а|е|ух|ум|умя|ое|оих|оим)|втор{_ORDINAL}",
    "3": "тр(?:и|ех|ем|емя|ое|оих|оим)|трет(?:ий|ья|ье|ьи|ьего|ьей|ьему|ью|ьим|ьем|ьих)",
    "4": f"четыр(?:е|ех|ем|ьмя)|четвер(?:о|ых|ым)|четверт{_ORDINAL}",
    "5": f"пят{_CASES}|пятер(?:о|ых)",
    "6": f"шест{_CASES}|шестер(?:о|ых)",
    "7": f"сем(?:ь|и|ью)|седьм{_ORDINAL}|семер(?:о|ых)",
    "8": f"вос(?:емь|ьми|емью|ьмью)|восьм{_ORDINAL}",
    "9": f"девят{_CASES}",
    "10": f"десят{_CASES}|десят(?:ок|ка|ков|ки)",
    "11": f"одиннадцат{_CASES}",
    "12": f"двенадцат{_CASES}|дюжин(?:а|ы|у)",
    "13": f"тринадцат{_CASES}",
    "14": f"четырнадцат{_CASES}",
    "15": f"пятнадцат{_CASES}",
    "16": f"шестнадцат{_CASES}",
    "17": f"семнадцат{_CASES}",
    "18": f"восемнадцат{_CASES}",
    "19": f"девятнадцат{_CASES}",
    "20": f"двадцат{_CASES}",
    "30": f"тридцат{_CASES}",
    "40": f"сорока?|сороков{_ORDINAL}",
    "50": f"пят(?:ьдесят|идесяти|ьюдесятью)|пятидесят{_ORDINAL}",
    "60": f"шест(?:ьдесят|идесяти|ьюдесятью)|шестидесят{_ORDINAL}",
    "70": f"сем(?:ьдесят|идесяти|ьюдесятью)|семидесят{_ORDINAL}",
    "80": f"вос(?:емьдесят|ьмидесяти|емьюдесятью|ьмьюдесятью)|восьмидесят{_ORDINAL}",
    "90": f"девяност(?:о|а|{_ORDINAL})",
    "100": f"ст(?:о|а)|сот{_ORDINAL}|сотн(?:я|и|ю|ей)",
    "200": "двести|двух(?:сот|стах)|двум(?:стам|ястами)",
    "300": "триста|трех(?:сот|стах)|трем(?:стам|ястами)",
    "400": "четыреста|четырех(?:сот|стах)|четыр(?:емстам|ьмястами)",
    "500": "пят(?:ьсот|исот|истам|ьюстами|истах)",
    "600": "шест(?:ьсот|исот|истам|ьюстами|истах)",
    "700": "сем(?:ьсот|исот|истам|ьюстами|истах)",
    "800": "вос(?:емьсот|ьмисот|ьмистам|емьюстами|ьмьюстами|ьмистах)",
    "900": "девят(?:ьсот|исот|истам|ьюстами|истах)",
}
_ENGLISH_TENS = ("twent", "thirt", "fort", "fift", "sixt", "sevent", "eight", "ninet")
_ENGLISH: dict[str, str] = {
    "0": "zero",
    "0.5": "half",
    "1": "one|first",
    "2": "two|second",
    "3": "three|third",
    "4": "four|fourth",
    "5": "five|fifth",
    "6": "six(?:th)?",
    "7": "seven(?:th)?",
    "8": "eighth?",
    "9": "nine|ninth",
    "10": "ten(?:th)?",
    "11": "eleven(?:th)?",
    "12": "twelve|twelfth|dozens?",
    "13": "thirteen(?:th)?",
    "14": "fourteen(?:th)?",
    "15": "fifteen(?:th)?",
    "16": "sixteen(?:th)?",
    "17": "seventeen(?:th)?",
    "18": "eighteen(?:th)?",
    "19": "nineteen(?:th)?",
    **{str(10 * tens): f"{stem}(?:y|ies|ieth)" for tens, stem in enumerate(_ENGLISH_TENS, 2)},
    "100": "hundred(?:s|th)?",
}
_SCALES: dict[str, str] = {
    "1000": "тысяч(?:а|и|у|е|ей|ью|ам|ами|ах)?|тыс|thousands?|tausend",
    "1000000": "миллион(?:а|у|ом|е|ы|ов|ам|ами|ах)?|млн|millions?|mln",
    "1000000000": "миллиард(?:а|у|ом|е|ы|ов|ам|ами|ах)?|млрд|billions?|bn",
    "1000000000000": "триллион(?:а|у|ом|е|ы|ов|ам|ами|ах)?|трлн|trillions?",
}

_VALUES = [
    (Decimal(value), re.compile(forms))
    for table in (_RUSSIAN, _ENGLISH, _SCALES)
    for value, forms in table.items()
]

_RUSSIAN_CASES = "(?:а|у|ом|е)?"
_MONTHS = tuple(
    map(
        re.compile,
        (
            "январ(?:ь|я|ю|ем|е)|january|jan",
            "феврал(?:ь|я|ю|ем|е)|february|feb",
            f"март{_RUSSIAN_CASES}|march|mar",
            "апрел(?:ь|я|ю|ем|е)|april|apr",
            "ма(?:й|я|ю|ем|е)|may",
            "июн(?:ь|я|ю|ем|е)|june|jun",
            "июл(?:ь|я|ю|ем|е)|july|jul",
            f"август{_RUSSIAN_CASES}|august|aug",
            "сентябр(?:ь|я|ю|ем|е)|september|sept?",
            "октябр(?:ь|я|ю|ем|е)|october|oct",
            "ноябр(?:ь|я|ю|ем|е)|november|nov",
            "декабр(?:ь|я|ю|ем|е)|december|dec",
        ),
    )
)

SPELLED_LANGUAGES = frozenset({"ru", "en"})
"""Languages whose numbers are known."""


@lru_cache(4096)
def value_of(word: str) -> Decimal | None:
    """The number that a word is, in lower case and without ё; None: it is none."""
    return next((value for value, forms in _VALUES if forms.fullmatch(word)), None)


@lru_cache(4096)
def month_of(word: str) -> Decimal | None:
    """The number of the month that a word names, as `value_of`."""
    numbers = (number for number, forms in enumerate(_MONTHS, 1) if forms.fullmatch(word))
    found = next(numbers, None)
    return None if found is None else Decimal(found)
