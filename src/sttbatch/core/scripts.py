"""Scripts that write words without spaces between them."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache

# Thai, Lao, Tibetan, Burmese, Khmer and the Tai scripts; Chinese, Japanese, Yi and their
# punctuation, without Korean, which has spaces.
UNSPACED_RANGES = (
    "\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u2fdf\u3001-\u312f\u3190-\u4dbf"
    "\u4e00-\ua4cf\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
"""For a set in a regular expression."""

# Where each range begins, and what follows its end.
_BOUNDS = [
    ord(each) + is_end
    for first_to_last in zip(UNSPACED_RANGES[::3], UNSPACED_RANGES[2::3], strict=True)
    for is_end, each in enumerate(first_to_last)
]


def is_unspaced(character: str) -> bool:
    """Whether no space parts a word that begins or ends with `character`, if any, from the next."""
    return bool(character) and bisect_right(_BOUNDS, ord(character)) % 2 == 1


@cache
def _pattern(others: str) -> re.Pattern[str]:
    """One character of these scripts, or several that are `others`; compiling it takes a while."""
    return re.compile(f"[{UNSPACED_RANGES}]|[^{others}{UNSPACED_RANGES}]+")


def tokens(text: str) -> list[tuple[int, int]]:
    """Where words begin and end, or characters in a script without spaces."""
    return [match.span() for match in _pattern(r"\s").finditer(text)]


def runs_of_letters(text: str) -> list[tuple[int, int]]:
    """As `tokens`, parted by punctuation too: what is written with a hyphen is two."""
    return [match.span() for match in _pattern(r"\W").finditer(text)]


def letters(text: str) -> str:
    """What two spellings of one text have in common: neither case, punctuation nor spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Thai vowels and Hindi ones are marks on letters.
    return "".join(
        character
        for character in folded
        if character.isalnum() or unicodedata.category(character)[0] == "M"
    )


def running_text(texts: Iterable[str]) -> str:
    """Words or phrases, each without surrounding space, as text: spaced where the script is.

    For whole segments see `outputs.unicode_text.joined`, which puts a space between Thai ones.
    """
    parts: list[str] = []
    for text in filter(None, texts):
        if parts and not (is_unspaced(parts[-1][-1]) and is_unspaced(text[0])):
            parts.append(" ")
        parts.append(text)
    return "".join(parts)
