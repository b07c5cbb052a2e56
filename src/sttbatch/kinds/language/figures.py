# ruff: noqa: RUF001
"""Figures of texts: whether what one says was said in another, in digits or in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TypeAlias

from msgspec import Struct

from sttbatch.kinds.language.number_words import month_of, value_of

_GROUPS = " '’\u00a0\u2009\u202f"
_TOKEN = re.compile(
    rf"(?P<figure>(?<!\d)\d{{1,3}}(?:[{_GROUPS}]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*)"
    r"|(?P<word>[^\W\d_]+)|(?P<dash>[-–—])|(?P<space>\s)|(?P<other>.)"
)
_SEPARATOR = re.compile(rf"[.,{_GROUPS}]")
_BETWEEN = frozenset({"и", "с", "and", "a"})
"""Words within a spelled number: five and a half."""

_HUNDRED = "hundred"
_SMALLEST_SCALE = 1000
_FEWEST_CHECKED = 10
"""Smaller numbers, spelled as words, are articles and the model's own counting too."""

_FIRST_YEAR, _LAST_YEAR = 1950, 2049


_Token: TypeAlias = tuple[str | None, str]


class Figure(Struct, frozen=True):
    """A number of a text.

    Attributes:
        spelled: as the text has it.
        meanings: what it may be: one value, or several that must all be said, such as a date's.
    """

    spelled: str
    meanings: tuple[tuple[Decimal, ...], ...]

    def is_said(self, values: frozenset[Decimal]) -> bool:
        """Whether one of its meanings is among the values of other texts."""
        return any(all(_is_said(value, values) for value in each) for each in self.meanings)


def figures_of(text: str) -> list[Figure]:
    """The figures of a text, and the numbers that it spells as words, from ten on."""
    return [figure for figure, _ in _numbers(text) if figure is not None]


def values_said(text: str) -> frozenset[Decimal]:
    """All values that the numbers of a text may be taken for, with their parts."""
    return frozenset(value for _, values in _numbers(text) for value in values)


def _is_said(value: Decimal, values: frozenset[Decimal]) -> bool:
    # Of a year, people say the end.
    is_year = _FIRST_YEAR <= value <= _LAST_YEAR and value == value.to_integral_value()
    return value in values or (is_year and value % 100 in values)


def _numbers(text: str) -> Iterator[tuple[Figure | None, set[Decimal]]]:
    """Each number, None if it need not be said, and the values that it says."""
    tokens = [(match.lastgroup, match[0]) for match in _TOKEN.finditer(text)]
    at = 0
    while at < len(tokens):
        kind, spelled = tokens[at]
        at += 1
        if kind == "figure":
            meanings = _meanings(spelled)
            at, scale = _scale(tokens, at)
            said = {value for each in meanings for value in each}
            if scale > 1:
                meanings = [(each[0] * scale,) for each in meanings if len(each) == 1] or meanings
                said |= {value for each in meanings for value in each}
            # Nobody says the minutes of 10:00.
            yield None if spelled == "00" else Figure(spelled, tuple(meanings)), said
        elif kind == "word":
            spelled = spelled.casefold().replace("ё", "е")
            if (month := month_of(spelled)) is not None:
                yield None, {month}
            elif value_of(spelled) is not None:
                at, number = _spelled_number(tokens, at - 1)
                yield number


def _meanings(spelled: str) -> list[tuple[Decimal, ...]]:
    """What digits may be: 1,250 is a thousand or a decimal fraction, 12.05 also a date."""
    parts = _SEPARATOR.split(spelled)
    separators = _SEPARATOR.findall(spelled)
    numbers = tuple(map(Decimal, parts))
    meanings: list[tuple[Decimal, ...]] = [] if separators else [numbers]
    for has_fraction in (False, True) if separators else ():
        whole = parts[:-1] if has_fraction else parts
        between = separators[:-1] if has_fraction else separators
        if has_fraction and (separators[-1] not in ".," or separators[-1] in between):
            continue
        is_grouped = len(set(between)) <= 1 and all(len(part) == 3 for part in whole[1:])
        if is_grouped and (len(whole) == 1 or len(whole[0]) <= 3):
            fraction = f".{parts[-1]}" if has_fraction else ""
            meanings.append((Decimal("".join(whole) + fraction),))
    if separators:
        meanings.append(numbers)
    return meanings


def _scale(tokens: Sequence[_Token], at: int) -> tuple[int, Decimal]:
    """The position behind the thousands or millions that follow a figure, and their product."""
    scale = Decimal(1)
    if at < len(tokens) and tokens[at][1].casefold() in {"k", "к"}:
        return at + 1, Decimal(1000)
    for place in range(at, len(tokens)):
        kind, spelled = tokens[place]
        value = value_of(spelled.casefold()) if kind == "word" else None
        if value is not None and value >= _SMALLEST_SCALE:
            at, scale = place + 1, scale * value
        elif kind != "space":
            break
    return at, scale


def _spelled_number(
    tokens: Sequence[_Token], at: int
) -> tuple[int, tuple[Figure | None, set[Decimal]]]:
    """The number that begins at a word, and the position behind it."""
    begin, end = at, at + 1
    total, current = Decimal(0), Decimal(0)
    slot = Decimal("Infinity")
    said: set[Decimal] = set()
    while at < len(tokens):
        kind, spelled = tokens[at]
        spelled = spelled.casefold().replace("ё", "е")
        value = value_of(spelled) if kind == "word" else None
        if value is None:
            if kind not in {"space", "dash"} and spelled not in _BETWEEN:
                break
        elif spelled.startswith(_HUNDRED) and 0 < current < 100:
            current, slot = current * 100, Decimal(100)
        elif value >= _SMALLEST_SCALE:
            total, current = total + (current or Decimal(1)) * value, Decimal(0)
            slot = Decimal("Infinity")
        elif value < slot:
            current, slot = current + value, _slot_behind(value)
        else:
            break
        if value is not None:
            said |= {value, current, total + current}
            end = at + 1
        at += 1
    number = total + current
    checked = number >= _FEWEST_CHECKED
    text = "".join(spelled for _, spelled in tokens[begin:end])
    return end, (Figure(text, ((number,),)) if checked else None, said)


def _slot_behind(value: Decimal) -> Decimal:
    """The values that may follow one within a number are less than this: tens after hundreds."""
    if value >= 100:
        return Decimal(100)
    return Decimal(10) if value >= 20 else Decimal(1)
