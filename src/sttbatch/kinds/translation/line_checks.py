"""Which lines of a translation can be trusted, as models lose, merge, double and renumber them."""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sttbatch.core.scripts import letters
from sttbatch.kinds.language.figures import values_said
from sttbatch.kinds.language.json_values import one_line
from sttbatch.kinds.translation.windows import Line

BESIDE = 3
"""So many lines beside a missing one may contain what it says."""

# Simulated, with lengths a third off their ratio: they find 93 % of 5 shifted lines and 99 % of 8
# and more; they refuse 1 % of the windows that are right, which costs another question.
_FEWEST_SHIFTED = 4
_SHIFTED = 0.6
"""Lines are shifted if their lengths fit those of their neighbours so much better."""

_SOFTENING = 4.0
"""Characters that are added to lengths, since those of short lines say little."""

_NOON = 12
_FIGURES = re.compile(r"\d{2,}")
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d)[ \u00a0\u202f.,'’٬](?=\d{3}(?!\d))")  # noqa: RUF001


def trusted_lines(asked: Sequence[Line], value: Any) -> dict[int, str]:
    """The texts of an answer, by the ids of `asked`, without those that may be another line's.

    With an id that was not asked for, the answer is numbered by a count of its own, so that none
    is trusted; nor with lines that are shifted.
    """
    found = _texts(asked, value)
    if found is None or _is_shifted(asked, found):
        return {}
    missing = [place for place, line in enumerate(asked) if line.id not in found]
    doubtful = {
        asked[near].id
        for place in missing
        for near in range(max(place - BESIDE, 0), min(place + BESIDE + 1, len(asked)))
    }
    return {
        line.id: found[line.id]
        for place, line in enumerate(asked)
        if line.id in found
        and line.id not in doubtful
        and _has_its_figures(asked, place, found[line.id])
    }


def _texts(asked: Sequence[Line], value: Any) -> dict[int, str] | None:
    """Texts by id, without empty ones and those that came twice; None: ids are not those asked."""
    entries = value.get("segments") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        return None
    sources = {line.id: line.text for line in asked}
    texts: dict[int, list[str]] = {}
    for entry in entries:
        line_id = _id(entry)
        if line_id is None or line_id not in sources:
            return None
        texts.setdefault(line_id, []).append(one_line(entry.get("text")))
    return {
        line_id: said[0]
        for line_id, said in texts.items()
        if len(said) == 1 and (letters(said[0]) or not letters(sources[line_id]))
    }


def _id(entry: object) -> int | None:
    line_id = entry.get("id") if isinstance(entry, dict) else None
    if isinstance(line_id, str) and line_id.isascii() and line_id.isdecimal():
        return int(line_id[:10])
    return line_id if isinstance(line_id, int) and not isinstance(line_id, bool) else None


def _has_its_figures(asked: Sequence[Line], place: int, text: str) -> bool:
    """Whether a text has the figures of its source, and none of the lines beside it.

    Small numbers may have become words, and words figures; thousands may be parted otherwise.
    """
    source = asked[place].text
    beside = [*asked[max(place - 1, 0) : place], *asked[place + 1 : place + 2]]
    ways = (_figures, _whole_figures)
    said = values_said(text)
    has_own = any(
        all(_is_said(figure, said) for figure in figures(source) - figures(text))
        for figures in ways
    )
    return has_own and not any(
        (figures(text) - figures(source)) & figures(" / ".join(each.text for each in beside))
        for figures in ways
    )


def _is_said(figure: str, said: frozenset[Decimal]) -> bool:
    """Whether a figure became a word, or an hour one of the afternoon."""
    value = int(figure)
    is_afternoon = _NOON < value < 2 * _NOON
    return value in said or (is_afternoon and value - _NOON in said)


def _figures(text: str) -> set[str]:
    """The figures of a text in Western digits."""
    return {
        "".join(str(unicodedata.decimal(digit)) for digit in figure)
        for figure in _FIGURES.findall(text)
    }


def _whole_figures(text: str) -> set[str]:
    """As `_figures`, with thousands joined."""
    return _figures(_BETWEEN_THOUSANDS.sub("", text))


def _is_shifted(asked: Sequence[Line], found: Mapping[int, str]) -> bool:
    """Whether some texts are those of the next or the previous lines, judged by their lengths."""
    sources = [len(line.text) + _SOFTENING for line in asked]
    texts = [len(found[line.id]) + _SOFTENING if line.id in found else None for line in asked]
    both = [(source, text) for source, text in zip(sources, texts, strict=True) if text is not None]
    if len(both) < _FEWEST_SHIFTED:
        return False
    ratio = statistics.median(text / source for source, text in both)

    def misfit(place: int, other: int) -> float:
        text = texts[place]
        assert text is not None
        return abs(math.log(text / (ratio * sources[other])))

    for step in (1, -1):
        run_here = run_there = 0.0
        count = 0
        for place in range(len(asked)) if step < 0 else reversed(range(len(asked))):
            if texts[place] is None or not 0 <= place + step < len(asked):
                run_here = run_there = count = 0
                continue
            run_here += misfit(place, place)
            run_there += misfit(place, place + step)
            count += 1
            if count >= _FEWEST_SHIFTED and run_there < _SHIFTED * run_here - count * 0.02:
                return True
    return False
