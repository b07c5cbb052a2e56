from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sttbatch.core.errors import UsageError
from sttbatch.core.models import Segment
from sttbatch.core.search import Term
from sttbatch.kinds.indexing.matching import Matcher
from sttbatch.kinds.indexing.passages import Utterance, passages_of
from sttbatch.kinds.indexing.query import Alternative, Phrase, Query, QueryWord, parsed
from sttbatch.kinds.indexing.words import Language


def phrase(*words: str) -> Phrase:
    return Phrase(tuple(QueryWord(word.rstrip("*"), word.endswith("*")) for word in words))


@pytest.mark.parametrize(
    ("text", "alternatives"),
    [
        ("a b", [Alternative((phrase("a"), phrase("b")))]),
        ('«a b» -c OR "d"', [
            Alternative((phrase("a", "b"),), (phrase("c"),)), Alternative((phrase("d"),))]),
        ('x -"a b" y* "p q*"', [
            Alternative(
                (phrase("x"), phrase("y*"), phrase("p", "q*")), (phrase("a", "b"),))]),
        ("e-mail — or", [Alternative((phrase("e", "mail"), phrase("or")))]),
        ("会议", [Alternative((phrase("会", "议"),))]),
    ],
)  # fmt: skip
def test_a_query_is_read(text: str, alternatives: list[Alternative]) -> None:
    assert parsed(text) == Query(tuple(alternatives))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no word to look for"),
        ("  ...  ", "no word to look for"),
        ('"open', "a quote of the query is not closed; add a"),
        ('a -"open', "a quote of the query is not closed; add a"),
        ("-a", "needs a word to look for too"),
        ("a OR -b", "needs a word to look for too"),
        ("a OR", "OR must stand between"),
        ("OR", "OR must stand between"),
        ("*", "a \\* may only end a word"),
        ("a*b", "a \\* may only end a word"),
        ("a**", "a \\* may only end a word"),
        ("c++*", "a \\* may only end a word"),
        ("w " * 65, "at most 64"),
    ],
)
def test_what_is_wrong_is_said(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parsed(text)


@given(st.text(st.characters(codec=None) | st.sampled_from('"*- OR«»ёé会'), max_size=60))
def test_any_text_is_a_query_or_says_what_is_wrong(text: str) -> None:
    try:
        query = parsed(text)
    except UsageError:
        return
    for name in ("ru", None, "zh"):
        language = Language(name)
        terms = [term for each in query.selection([language]) for any_of in each for term in any_of]
        # No store can take one of them for a part of its own language.
        assert all(not set(term.text) & set("\"'*\\:()&|! \0") for term in terms)
        assert all(terms)
        Matcher(query, language).matches([Utterance(text, 0.0, 1.0)], 1)


WORDS = ["ladies", "lying", "Häuser", "running", "договорами", "été", "ﬁnally", "ẞ", "skies"]
TEXTS = st.lists(st.text(min_size=1, max_size=12) | st.sampled_from(WORDS), min_size=1, max_size=9)


@given(TEXTS)
def test_what_matches_is_always_selected(texts: list[str]) -> None:
    """The store may select too much, but never too little."""
    language = Language("en")
    segments = [Segment(each, at, at) for at, each in enumerate(texts)]
    words = {word for each in passages_of(segments, language) for word in each.words.split()}
    whole = [Utterance(each, 0.0, 1.0) for each in texts]
    said_words = [word for each in texts for *_, word in language.words(each)]
    for length in (2, 3):
        for at in range(len(said_words) - length + 1):
            phrase = Phrase(tuple(QueryWord(word.exact) for word in said_words[at : at + length]))
            query = Query((Alternative((phrase,)),))
            if all(language.word(word.text) for word in phrase.words) and Matcher(
                query, language
            ).matches(whole, len(whole)):
                assert is_selected(query, language, words), phrase
    for said in [each[begin:end] for each in texts for begin, end, _ in language.words(each)]:
        # The word itself, and all of its beginnings.
        for part in (said, *(said[:length] for length in range(1, len(said) + 1))):
            if language.word(part) is None:
                continue
            query = Query((Alternative((Phrase((QueryWord(part, part is not said),)),)),))
            if Matcher(query, language).matches(whole, len(whole)):
                assert is_selected(query, language, words), part


def is_selected(query: Query, language: Language, words: set[str]) -> bool:
    """Whether a store selects a passage that is indexed by these words."""
    return all(
        any(
            any(
                each.startswith(term.text) if term.is_prefix else each == term.text
                for each in words
            )
            for term in any_of
        )
        for alternative in query.selection([language])
        for any_of in alternative
    )


def test_terms_are_those_of_every_language() -> None:
    (((*terms,),),) = parsed("été*").selection([Language("fr")])
    assert terms == [Term("ete", is_prefix=True), Term("e"), Term("et")]
    ((words,),) = parsed("buildings").selection([Language("ru"), Language("de")])
    assert list(words) == [Term("build"), Term("building")]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("слово -слова", 0),
        ('"новое слово" -слово', 0),
        ("слово -слов*", 1),
        ("слов* -сло*", 0),
        ("слово -словарь", 1),
        ('слово -"новое слово"', 1),
        ("слово -слова OR дом", 1),
    ],
)
def test_what_excludes_all_that_it_requires_selects_nothing(text: str, left: int) -> None:
    languages = [Language("ru"), Language("en"), Language(None)]
    assert len(parsed(text).selection(languages)) == left
