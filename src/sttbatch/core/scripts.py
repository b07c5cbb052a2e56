"""Scripts that write words without spaces between them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# Thai, Lao, Tibetan, Burmese, Khmer and the Tai scripts; Chinese, Japanese, Yi and their
# punctuation, without Korean, which has spaces.
UNSPACED_RANGES = (
    "\u0e00-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u2e80-\u2fdf\u3001-\u312f\u3190-\u4dbf"
    "\u4e00-\ua4cf\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
"""For a set in a regular expression."""

_UNSPACED = re.compile(f"[{UNSPACED_RANGES}]")
_TOKEN = re.compile(f"[{UNSPACED_RANGES}]|[^\\s{UNSPACED_RANGES}]+")
_LETTERS = re.compile(f"[{UNSPACED_RANGES}]|[^\\W{UNSPACED_RANGES}]+")


def is_unspaced(character: str) -> bool:
    """Whether no space parts a word that begins or ends with `character` from the next one."""
    return _UNSPACED.match(character) is not None


def tokens(text: str) -> list[tuple[int, int]]:
    """Where words begin and end, or characters in a script without spaces."""
    return [match.span() for match in _TOKEN.finditer(text)]


def runs_of_letters(text: str) -> list[tuple[int, int]]:
    """As `tokens`, parted by punctuation too: what is written with a hyphen is two."""
    return [match.span() for match in _LETTERS.finditer(text)]


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
