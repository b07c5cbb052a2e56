"""Words as they are compared: without what writers may choose, such as case and punctuation."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from msgspec import Struct

from sttbatch.core.models import Segment
from sttbatch.kinds.indexing.words import found_words

NORMALIZATION = (
    "Unicode NFKC, no case, no punctuation, no apostrophes, hyphens part words, ё is е in Russian; "  # noqa: RUF001
    "each character of a script without spaces is a word; numbers stay as they are written"
)

# Apostrophes, which some write and some leave out within a word, and what is invisible.
_DELETED = dict.fromkeys(map(ord, "'\u2019\u02bc`\u00b4\u00ad"))
_YO = str.maketrans("\u0451\u0401", "\u0435\u0415")
_RUSSIAN = frozenset({"ru", "russian"})


class SpokenWord(Struct, frozen=True):
    """A word of a text.

    Attributes:
        text: as it is compared.
        shown: as it is written, without what is around it.
        line: the number of its segment.
    """

    text: str
    shown: str
    line: int


def spoken_words(segments: Iterable[Segment], language: str | None) -> list[SpokenWord]:
    """The words of a text, which is in a language that is named as Whisper does, or by its code."""
    is_russian = (language or "").lower() in _RUSSIAN
    words = []
    for line, segment in enumerate(segments):
        text = unicodedata.normalize("NFKC", segment.text).translate(_DELETED)
        for begin, end in found_words(text):
            shown = text[begin:end]
            # Of scripts without spaces, punctuation is found as well.
            if not any(map(str.isalnum, shown)):
                continue
            compared = shown.translate(_YO) if is_russian else shown
            words.append(SpokenWord(compared.casefold(), shown, line))
    return words
