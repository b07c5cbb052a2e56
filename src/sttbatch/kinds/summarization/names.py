# ruff: noqa: RUF001
"""Names of texts: whether what one names is named in another, in some form."""

from __future__ import annotations

import re
from collections.abc import Collection

from sttbatch.core.scripts import letters
from sttbatch.kinds.language.word_forms import are_forms, common_letters

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TERMINATORS = frozenset(".!?…:;。！？")
"""What follows them begins a sentence, or what somebody is quoted with."""

_SHORT_STEM, _SHORT_ENDING = 3, 2
_ENDINGS = re.compile(r"[аеиоуыэюяйьaeiouy]{0,2}[вмхsм]?")
"""What words with stems of two letters may end with."""


def names_of(text: str) -> list[str]:
    """The capitalised words of a text that begin no sentence, in scripts with capitals."""
    return [
        word[0]
        for word in _WORD.finditer(text)
        # The English pronoun is no name, whatever follows its apostrophe.
        if word[0][0].isupper()
        and len(word[0]) > 1
        and re.split("['’]", word[0])[0] != "I"
        and not _is_first(text, word.start())
    ]


def is_title_case(text: str) -> bool:
    """Whether all words of some length are capitalised, so that capitals tell nothing."""
    words = [word[0] for word in _WORD.finditer(text) if len(word[0]) > 3]
    return len(words) > 1 and all(word[0].isupper() for word in words)


def compared_words(text: str) -> frozenset[str]:
    """The words of a text as `is_named` compares them."""
    return frozenset(map(_folded, _WORD.findall(text)))


def is_named(name: str, words: Collection[str]) -> bool:
    """Whether a word is one of others, in some form."""
    name = _folded(name)
    return name in words or any(_are_forms(name, word) for word in words)


def _is_first(text: str, at: int) -> bool:
    """Whether a word begins a sentence, but for quotes and brackets."""
    while at > 0 and not text[at - 1].isalnum() and text[at - 1] not in _TERMINATORS:
        at -= 1
    return at == 0 or text[at - 1] in _TERMINATORS


def _folded(word: str) -> str:
    return letters(word).replace("ё", "е")


def _are_forms(name: str, word: str) -> bool:
    """As `are_forms`, but short names have short stems, and some lose a vowel."""
    common = common_letters(name, word)
    longest_ending = max(len(name), len(word)) - common
    if are_forms(name, word) or (common >= _SHORT_STEM and longest_ending <= _SHORT_ENDING):
        return True
    return common == _SHORT_STEM - 1 and all(
        _ENDINGS.fullmatch(each[common:]) is not None for each in (name, word)
    )
