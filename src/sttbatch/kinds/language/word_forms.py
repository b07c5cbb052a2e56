"""Whether two words are forms of one, in any language whose endings change."""

from __future__ import annotations

from itertools import takewhile

from sttbatch.core.scripts import letters

_STEM, _ENDING = 4, 3


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared, without case and punctuation."""
    return [word for word in map(letters, text.split()) if word]


def are_forms(word: str, other: str) -> bool:
    """Whether two words differ in their endings at most, as inflected ones do."""
    common = common_letters(word, other)
    return word == other or (common >= _STEM and max(len(word), len(other)) - common <= _ENDING)


def common_letters(word: str, other: str) -> int:
    """With how many letters both begin."""
    pairs = zip(word, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
