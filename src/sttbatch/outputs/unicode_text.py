"""Properties of Unicode text: width, possible splits, and characters to remove."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, pairwise

from sttbatch.core.scripts import is_unspaced

# No-break spaces are white space to Python, but must not be broken.
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")
# C0, C1, byte order marks and noncharacters.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\ufdd0-\ufdef]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_FIRST_WIDE = "\u1100"
# Small kana and marks that lengthen the sound before them never begin a line.
_STRICT = "ja@lb=strict"


def encodable(text: str) -> str:
    """`text` with lone surrogates (parts of an undecodable file name) replaced."""
    return _SURROGATES.sub("\ufffd", text)


def plain(text: str) -> str:
    """`text` on one line with single spaces and without control characters."""
    spaced = _UNPRINTABLE.sub("", _SPACES.sub(" ", encodable(text)))
    return " ".join(token for token in spaced.split(" ") if token.strip())


def columns(text: str) -> int:
    """The width of `text` in columns; a Chinese character has two."""
    if text.isascii():
        return len(text)
    return sum(1 + _is_wide(character) for character in text)


def clusters(text: str) -> list[str]:
    """`text` in pieces that look like one character: accents and joined emoji stay together."""
    # Loading ICU takes a while, and most texts need no break within a word.
    from icu4py.breakers import CharacterBreaker

    return list(CharacterBreaker(text, "root"))


def unspaced_words(text: str) -> list[str]:
    """A text without a space, parted at words of scripts that have none, where a line may end."""
    if not any(map(is_unspaced, text)):
        return [text]
    from icu4py.breakers import LineBreaker, WordBreaker

    ends = set(accumulate(map(len, LineBreaker(text, _STRICT))))
    # A line may end within a Chinese word, but reads better when it does not.
    ends &= set(accumulate(map(len, WordBreaker(text, "root"))))
    parted = (at for at in sorted(ends) if any(map(is_unspaced, text[at - 1 : at + 1])))
    return [text[start:end] for start, end in pairwise(dict.fromkeys((0, *parted, len(text))))]


def joined(texts: list[str]) -> str:
    """Segments joined by spaces, but without them within Chinese or Japanese.

    `core.scripts.running_text` joins words, between which Thai has no space either.
    """
    parts: list[str] = []
    for text in texts:
        if parts and not (_is_chinese(parts[-1][-1]) and _is_chinese(text[0])):
            parts.append(" ")
        parts.append(text)
    return "".join(parts)


def _is_wide(character: str) -> bool:
    return character >= _FIRST_WIDE and unicodedata.east_asian_width(character) in "WF"


def _is_chinese(character: str) -> bool:
    """Chinese or Japanese; Thai has no spaces between words, but between sentences."""
    return _is_wide(character) and not unicodedata.name(character, "").startswith("HANGUL")
