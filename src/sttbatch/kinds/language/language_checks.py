"""Whether a text can be in a language, by its script."""

from __future__ import annotations

import unicodedata
from collections import Counter

_SCRIPTS = {
    "CYRILLIC": "be bg kk ky mk mn ru sr tg tt uk",
    "GREEK": "el",
    "ARABIC": "ar fa ps sd ug ur",
    "HEBREW": "he yi",
    "DEVANAGARI": "hi mr ne sa",
    "BENGALI": "as bn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "ETHIOPIC": "am",
    "HANGUL": "ko",
    "CJK": "ja yue zh",
}
# Written in more than one: no script speaks against a text.
_SEVERAL = frozenset({"az", "bs", "kk", "ku", "sr", "tk", "uz"})
_OF_LANGUAGE = {code: script for script, codes in _SCRIPTS.items() for code in codes.split()}
_ALIKE = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}

_FEWEST_LETTERS = 12
"""Shorter lines may be a name."""

_SHARE = 0.3
"""Lines with so many letters of their language's script may have any number of foreign names."""


def can_be_in(language: str, text: str) -> bool:
    """Whether a text may be in the language with this code; languages of one script look alike."""
    if language in _SEVERAL:
        return True
    scripts = Counter(
        _ALIKE.get(name, name)
        for name in (
            unicodedata.name(letter, "").partition(" ")[0] for letter in text if letter.isalpha()
        )
    )
    total = scripts.total()
    own = scripts[_OF_LANGUAGE.get(language, "LATIN")]
    return total < _FEWEST_LETTERS or own >= _SHARE * total
