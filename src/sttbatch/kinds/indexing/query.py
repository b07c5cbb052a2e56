"""The language of queries: `words "a phrase" -without begin* OR others`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from msgspec import Struct

from sttbatch.core.errors import UsageError
from sttbatch.core.search import Selection, Term
from sttbatch.kinds.indexing.passages import OVERLAP_WORDS
from sttbatch.kinds.indexing.words import (
    Language,
    SearchedWord,
    beginnings,
    found_words,
    paired_stems,
    pairs,
)

MAX_WORDS = 64

_QUOTES = str.maketrans("“”„«»", '"""""')
_PART = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))|(?P<open>")')
_INNER_STAR = re.compile(r"\*(?=\S)")


class QueryWord(Struct, frozen=True):
    """A word in any of its forms, or the beginning of words."""

    text: str
    is_prefix: bool = False


class Phrase(Struct, frozen=True):
    """Words that follow one another; most have one."""

    words: tuple[QueryWord, ...]


class Alternative(Struct, frozen=True):
    """All of `required` and none of `excluded` occur in one passage."""

    required: tuple[Phrase, ...]
    excluded: tuple[Phrase, ...] = ()


class Query(Struct, frozen=True):
    """What was asked for: any of its alternatives."""

    alternatives: tuple[Alternative, ...]

    @property
    def longest(self) -> int:
        """Number of words of the longest phrase."""
        phrases = (
            phrase for each in self.alternatives for phrase in (*each.required, *each.excluded)
        )
        return max((len(phrase.words) for phrase in phrases), default=0)

    def selection(self, languages: Iterable[Language], *, in_sequence: bool = True) -> Selection:
        """The words that passages are selected by, if they are in one of `languages`.

        Of a long phrase those words that are surely in the passage where it begins count.

        `in_sequence`: words of a phrase follow one another in the text, so that it is selected by
        pairs of them too. Alternatives that exclude what they require are left out: every passage
        with their words would be read in vain.
        """
        known = tuple(languages)
        return [
            [
                terms
                for phrase in alternative.required
                for words in [phrase.words[: OVERLAP_WORDS + 1]]
                for terms in (
                    *(_terms(word, known) for word in words),
                    *(_pairs(words, known) if in_sequence else ()),
                )
            ]
            for alternative in self.alternatives
            if not all(_is_contradiction(alternative, language) for language in known)
        ]


def _is_contradiction(alternative: Alternative, language: Language) -> bool:
    """Whether each text that has what is required has what is excluded, as in `word -words`."""
    return any(
        _implies(required, excluded, language)
        for required in alternative.required
        for excluded in alternative.excluded
    )


def _implies(phrase: Phrase, part: Phrase, language: Language) -> bool:
    count = len(part.words)
    return any(
        all(
            _is_form_of(word, other, language)
            for word, other in zip(phrase.words[at : at + count], part.words, strict=True)
        )
        for at in range(len(phrase.words) - count + 1)
    )


def _is_form_of(word: QueryWord, other: QueryWord, language: Language) -> bool:
    """Whether all that is found by `word` is found by `other`."""
    one, more = language.word(word.text), language.word(other.text)
    if one is None or more is None:
        return False
    if other.is_prefix:
        return word.is_prefix and one.exact.startswith(more.exact)
    return not word.is_prefix and set(one.stems) <= set(more.stems)


def _pairs(phrase: Sequence[QueryWord], languages: Sequence[Language]) -> Iterator[list[Term]]:
    """The pairs of words in a phrase that are indexed, whichever its language is."""
    for before, after in pairwise(phrase):
        terms: list[Term] = []
        for language in languages:
            words = language.word(before.text), language.word(after.text)
            if before.is_prefix or after.is_prefix or not all(map(_has_pairs, words)):
                break
            one, other = (paired_stems(word) for word in words if word is not None)
            terms += (Term(pair) for pair in pairs(one, other))
        else:
            if terms:
                yield list(dict.fromkeys(terms))


def _has_pairs(word: SearchedWord | None) -> bool:
    return word is not None and paired_stems(word) == word.stems


def _terms(word: QueryWord, languages: Iterable[Language]) -> list[Term]:
    found = [known for language in languages if (known := language.word(word.text)) is not None]
    if word.is_prefix:
        return list(dict.fromkeys(term for each in found for term in beginnings(each.exact)))
    return list(dict.fromkeys(Term(stem) for each in found for stem in each.stems))


_PLAIN = Language(None)


def parsed(text: str) -> Query:
    """The query in `text`; raises UsageError, which says what is wrong."""
    alternatives = []
    for part in _alternatives(text.translate(_QUOTES)):
        required = tuple(phrase for is_excluded, phrase in part if not is_excluded)
        if not required:
            raise UsageError(_missing(text, is_excluding=bool(part)))
        excluded = tuple(phrase for is_excluded, phrase in part if is_excluded)
        alternatives.append(Alternative(required, excluded))
    query = Query(tuple(alternatives))
    count = sum(
        len(phrase.words) for each in query.alternatives for phrase in each.required + each.excluded
    )
    if count > MAX_WORDS:
        raise UsageError(f"the query has {count} words, at most {MAX_WORDS} are looked for")
    return query


def free_query(text: str) -> Query:
    """Any of the words in `text`, in which nothing has a special meaning; it may have none."""
    words = dict.fromkeys(
        text[begin:end]
        for begin, end in found_words(text)
        if _PLAIN.word(text[begin:end]) is not None
    )
    phrases = [Phrase((QueryWord(word),)) for word in words]
    return Query(tuple(Alternative((phrase,)) for phrase in phrases[:MAX_WORDS]))


def _missing(text: str, *, is_excluding: bool) -> str:
    if is_excluding:
        return "a query with -words needs a word to look for too"
    if re.search(r"(^|\s)OR(\s|$)", text):
        return "OR must stand between two words"
    return "the query has no word to look for"


def _alternatives(text: str) -> Iterator[list[tuple[bool, Phrase]]]:
    """The phrases of each alternative, and whether they are excluded."""
    part: list[tuple[bool, Phrase]] = []
    for match in _PART.finditer(text):
        if match["open"]:
            raise UsageError('a quote of the query is not closed; add a "')
        if match["word"] == "OR" and not match["minus"]:
            yield part
            part = []
            continue
        phrase = _phrase(match["phrase"] if match["word"] is None else match["word"])
        if phrase is not None:
            part.append((bool(match["minus"]), phrase))
    yield part


def _phrase(text: str) -> Phrase | None:
    """The words in `text`; None: it has none."""
    words = [
        QueryWord(text[begin:end], text[end : end + 1] == "*")
        for begin, end in found_words(text)
        if _PLAIN.word(text[begin:end]) is not None
    ]
    if _INNER_STAR.search(text) or text.count("*") > sum(word.is_prefix for word in words):
        raise UsageError("a * may only end a word, such as begin*")
    return Phrase(tuple(words)) if words else None
