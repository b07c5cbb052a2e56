"""Properties of Unicode text: width, possible splits, and characters to remove."""

from __future__ import annotations

import re
import unicodedata

# No-break spaces are white space to Python, but must not be broken.
_SPACES = re.compile(r"[^\S\u00a0\u202f]+")
# C0, C1, byte order marks and noncharacters.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufeff\ufdd0-\ufdef]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_JOINER = "\u200d"
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_FIRST_WIDE = "\u1100"
# Small kana and prolonged sound marks never begin a line.
_CLINGING = frozenset("ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ々〻")
_CLOSING = frozenset({"Pe", "Pf", "Po"})
_OPENING = frozenset({"Ps", "Pi"})


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
    """`text` in grapheme clusters: accents and joined emoji are not separated."""
    pieces: list[str] = []
    for character in text:
        if pieces and (_extends(character) or pieces[-1].endswith(_JOINER)):
            pieces[-1] += character
        else:
            pieces.append(character)
    return pieces


def may_break(left: str, right: str) -> bool:
    """Whether a line may end between two clusters that no space separates."""
    if not (is_unspaced(left[0]) or is_unspaced(right[0])):
        return False
    if right[0] in _CLINGING or unicodedata.category(right[0]) in _CLOSING:
        return False
    return unicodedata.category(left[0]) not in _OPENING


def is_unspaced(character: str) -> bool:
    """Whether `character` is of a script without spaces between words (not Korean)."""
    return _is_wide(character) and not unicodedata.name(character, "").startswith("HANGUL")


def joined(texts: list[str]) -> str:
    """`texts` joined by spaces, but without them within Chinese or Japanese."""
    parts: list[str] = []
    for text in texts:
        if parts and not (is_unspaced(parts[-1][-1]) and is_unspaced(text[0])):
            parts.append(" ")
        parts.append(text)
    return "".join(parts)


def _is_wide(character: str) -> bool:
    return character >= _FIRST_WIDE and unicodedata.east_asian_width(character) in "WF"


def _extends(character: str) -> bool:
    return (
        character == _JOINER
        or ord(character) in _SKIN_TONES
        or unicodedata.category(character) in {"Mn", "Me", "Mc"}
    )
