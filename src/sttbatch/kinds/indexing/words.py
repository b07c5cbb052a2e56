"""Words as they are searched for: taken out of a text, folded, and reduced to stems."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import Stemmer

from sttbatch.core.languages import language_code
from sttbatch.core.scripts import UNSPACED_RANGES
from sttbatch.core.search import Term

WORDS_VERSION = f"1-{Stemmer.version()}"
"""Of everything in this module: an index that was made by another one is made again."""

_LONGEST = 64
_CACHED_WORDS = 50_000
_PAIRED_LENGTH = 4

# Marks that are no letters to `re`, and make one word with the letters around them: accents,
# Hebrew and Arabic points, Indic vowels.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u0900-\u0963\u0966-\u0df3\u1ab0-\u1aff\u1dc0-\u1dff"
)
_WORD = re.compile(f"[{UNSPACED_RANGES}]|(?:[^\\W_{UNSPACED_RANGES}]|[{_MARKS}])+")

# Most words; they need no normal form.
_PLAIN = re.compile("[0-9A-Za-z\u0401\u0410-\u044f\u0451]+")
# Canonical combining classes of what is part of a letter: none, nukta, kana's voiced marks, virama.
_KEPT_CLASSES = frozenset({0, 7, 8, 9})
_YE = "\N{CYRILLIC SMALL LETTER IE}"
_STRESS = "\u0300\u0301"
_IS_CYRILLIC = re.compile("[\u0400-\u052f]")
_IS_LATIN = re.compile("[a-z\u00c0-\u024f\u1e00-\u1eff]", re.IGNORECASE)

_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian",
    "fi": "finnish", "fr": "french", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
    "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "nn": "norwegian", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
    "yi": "yiddish",
}  # fmt: skip
_NO_LATIN = frozenset({
    "am", "ar", "as", "bn", "bo", "el", "fa", "gu", "he", "hi", "hy", "ja", "ka", "km", "kn", "ko",
    "lo", "ml", "mr", "my", "ne", "pa", "ps", "sa", "sd", "si", "ta", "te", "th", "ur", "yi", "yue",
    "zh",
})  # fmt: skip
_CYRILLIC = frozenset({"ba", "be", "bg", "kk", "mk", "mn", "ru", "sr", "tg", "tt", "uk"})


class SearchedWord(NamedTuple):
    """A word of a text.

    Attributes:
        exact: folded, for prefixes.
        stems: what its forms have in common; two where accents decide the stem, as some leave
            them out.
    """

    exact: str
    stems: tuple[str, ...]

    @property
    def indexed(self) -> tuple[str, ...]:
        """What an index has of it: see `beginnings`."""
        if any(map(self.exact.startswith, self.stems)):
            return self.stems
        return (self.exact, *self.stems)


class IndexedText(NamedTuple):
    """What an index finds a text by.

    Attributes:
        number: of its words.
        words: what of them is indexed, and pairs of short ones.
        first, last: stems of the first and of the last word; empty: they have no pairs.
    """

    number: int
    words: AbstractSet[str]
    first: tuple[str, ...]
    last: tuple[str, ...]


PlacedWord: TypeAlias = tuple[int, int, SearchedWord]
"""Where a word begins and ends in its text, and the word."""


class Language:
    """The words of texts in one language; not for several threads.

    A word of another script is taken for Russian or English, which are mixed into most languages.
    """

    def __init__(self, name: str | None) -> None:
        self.code = language_code(name)
        self._stemmers: dict[str, Stemmer.Stemmer] = {}
        self._known: dict[str, SearchedWord | None] = {}
        self._indexed: dict[str, IndexedText] = {}

    def words(self, text: str) -> Iterator[PlacedWord]:
        for match in _WORD.finditer(text):
            word = self.word(match[0])
            if word is not None:
                yield match.start(), match.end(), word

    def sequence(self, text: str) -> list[SearchedWord]:
        """As `words`, without their places, which takes a third of the time."""
        known = map(self.word, _WORD.findall(text))
        return [word for word in known if word is not None]

    def indexed(self, text: str) -> IndexedText:
        """What an index finds a text by."""
        count, found, known = 0, set[str](), self._indexed
        first: tuple[str, ...] = ()
        last: tuple[str, ...] = ()
        # Most pieces between spaces were seen before, and need no other look.
        for piece in text.split():
            if piece not in known:
                if len(known) >= _CACHED_WORDS:
                    known.clear()
                known[piece] = _indexed(self.sequence(piece))
            here = known[piece]
            if not here.number:
                continue
            found.update(here.words)
            if not count:
                first = here.first
            elif last and here.first:
                found.update(pairs(last, here.first))
            count += here.number
            last = here.last
        return IndexedText(count, found, first, last)

    def word(self, text: str) -> SearchedWord | None:
        """A word that `_WORD` found; None: it is punctuation."""
        try:
            return self._known[text]
        except KeyError:
            if len(self._known) >= _CACHED_WORDS:
                self._known.clear()
            word = self._known[text] = self._searched(text)
            return word

    def _searched(self, text: str) -> SearchedWord | None:
        if _PLAIN.fullmatch(text):
            lowered = exact = text.lower().replace("ё", _YE)[:_LONGEST]
        else:
            lowered = unicodedata.normalize("NFKC", text).casefold().replace("ё", _YE)[:_LONGEST]
            exact = folded(lowered)
        if not exact:
            return None
        algorithm = self._algorithm(lowered)
        if algorithm is None:
            return SearchedWord(exact, (exact,))
        if algorithm not in self._stemmers:
            # A cache of its own would hold every word twice.
            self._stemmers[algorithm] = Stemmer.Stemmer(algorithm, 0)
        stem = self._stemmers[algorithm].stemWord
        # Nothing is left of some words.
        first = folded(stem(lowered)) or exact
        if exact == lowered:
            return SearchedWord(exact, (first,))
        return SearchedWord(exact, tuple(dict.fromkeys((first, folded(stem(exact)) or exact))))

    def _algorithm(self, text: str) -> str | None:
        own = _ALGORITHMS.get(self.code)
        if _IS_CYRILLIC.search(text):
            return own if self.code in _CYRILLIC else "russian"
        if _IS_LATIN.search(text) and (
            not self.code or self.code in _NO_LATIN or self.code in _CYRILLIC
        ):
            return "english"
        return own


def _indexed(words: Sequence[SearchedWord]) -> IndexedText:
    found = {form for word in words for form in word.indexed}
    short = [paired_stems(word) for word in words]
    for before, after in pairwise(short):
        found.update(pairs(before, after))
    return IndexedText(len(words), found, short[0] if short else (), short[-1] if short else ())


def paired_stems(word: SearchedWord) -> tuple[str, ...]:
    """The stems of a word that are indexed together with those of the words beside it.

    Short ones are frequent, such as particles and Chinese characters: to look at each passage that
    has them somewhere would take seconds.
    """
    return tuple(stem for stem in word.stems if len(stem) <= _PAIRED_LENGTH)


def pairs(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What is indexed for two words that follow one another."""
    return [f"{one}\N{MIDDLE DOT}{other}" for one in before for other in after]


def found_words(text: str) -> Iterator[tuple[int, int]]:
    """Where words begin and end, or characters in a script without spaces."""
    return (match.span() for match in _WORD.finditer(text))


def beginnings(prefix: str) -> list[Term]:
    """What an index has one of for each word that begins with `prefix`.

    A word is indexed by its stem alone, if it begins with that. The stem then begins with `prefix`,
    or is shorter and a beginning of it.
    """
    shorter = [Term(prefix[:length]) for length in range(1, len(prefix))]
    return [Term(prefix, is_prefix=True), *shorter]


def folded(text: str) -> str:
    """Lower-case text without accents: as few write them as leave them out.

    Cyrillic letters keep theirs, such as й, as they are other letters; ё alone is taken for its
    plain letter.
    """
    if _PLAIN.fullmatch(text):
        return text
    kept: list[str] = []
    for character in unicodedata.normalize("NFKD", text):
        is_mark = unicodedata.combining(character) not in _KEPT_CLASSES
        if is_mark and not (_is_cyrillic(kept) and character not in _STRESS):
            continue
        if character.isalnum() or unicodedata.category(character)[0] == "M":
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _is_cyrillic(before: list[str]) -> bool:
    return bool(before) and _IS_CYRILLIC.match(before[-1]) is not None
