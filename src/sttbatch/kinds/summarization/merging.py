"""Statements that say the same, and what a merge of them must not lose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from sttbatch.core.scripts import letters
from sttbatch.kinds.language.figures import figures_of
from sttbatch.kinds.language.token_estimates import estimated_tokens
from sttbatch.kinds.summarization.names import compared_words, is_named
from sttbatch.kinds.summarization.summary import SECTIONS, Statement

_SIMILAR = 0.6
"""The part of the words that two statements about the same segments have in common if they say the
same, such as those that two windows have about their overlap."""

_NEGATIONS = frozenset(["no", "nor", "not", "never", "none", "без", "не", "нет", "ни", "никогда"])
_STATEMENT_TOKENS = 20
"""Of a statement's braces, names and id."""


def tokens_of(statement: Statement) -> int:
    """About how many tokens a statement has in a question."""
    texts = filter(None, (statement.text, statement.who, statement.when))
    return sum(map(estimated_tokens, texts)) + _STATEMENT_TOKENS


def in_order(statements: Iterable[Statement]) -> list[Statement]:
    """The statements by section, then by time."""
    return sorted(
        statements, key=lambda statement: (SECTIONS.index(statement.section), statement.segments)
    )


def without_repeats(statements: Iterable[Statement]) -> list[Statement]:
    """The statements, by time; those that say the same are one, with all segments that say it."""
    kept: list[Statement] = []
    places: dict[tuple[str, ...], int] = {}
    for statement in sorted(statements, key=lambda statement: statement.segments):
        facts = (
            statement.section,
            *map(letters, (statement.text, statement.who or "", statement.when or "")),
        )
        place = places.get(facts)
        if place is None:
            place = next(
                (n for n, other in enumerate(kept) if _say_the_same(statement, other)), None
            )
        if place is None:
            places[facts] = len(kept)
            kept.append(statement)
        else:
            other = kept[place]
            segments = tuple(sorted({*statement.segments, *other.segments}))
            kept[place] = replace(_fuller(other, statement), segments=segments, time_s=other.time_s)
    return kept


def groups_of(statements: Sequence[Statement], most_tokens: int) -> list[Sequence[Statement]]:
    """All statements in their order, in groups of `most_tokens` at most."""
    groups: list[Sequence[Statement]] = []
    begin, count = 0, 0
    for at, statement in enumerate(statements):
        tokens = tokens_of(statement)
        if count + tokens > most_tokens and at > begin:
            groups.append(statements[begin:at])
            begin, count = at, 0
        count += tokens
    groups.append(statements[begin:])
    return groups


def _say_the_same(statement: Statement, other: Statement) -> bool:
    """Whether two statements about the same segments differ in nothing but words."""
    if statement.section != other.section or set(statement.segments).isdisjoint(other.segments):
        return False
    words, others = compared_words(statement.text), compared_words(other.text)
    common = sum(1 for word in words if is_named(word, others))
    return common >= _SIMILAR * max(len(words), len(others)) and _have_the_same_facts(
        statement, other
    )


def _have_the_same_facts(statement: Statement, other: Statement) -> bool:
    """Whether figures, names and negations agree, and who and when, as far as both have them."""
    for name in ("who", "when"):
        said = {letters(getattr(each, name) or "") for each in (statement, other)} - {""}
        if len(said) > 1:
            return False
    words = [compared_words(each.text) for each in (statement, other)]
    figures = [{figure.meanings for figure in figures_of(each.text)} for each in (statement, other)]
    return (
        figures[0] == figures[1]
        and words[0] & _NEGATIONS == words[1] & _NEGATIONS
        and all(is_named(word, words[1]) for word in _capitalised(statement))
        and all(is_named(word, words[0]) for word in _capitalised(other))
    )


def _capitalised(statement: Statement) -> list[str]:
    return [word for word in statement.text.split() if word[:1].isupper()]


def _fuller(statement: Statement, other: Statement) -> Statement:
    def facts(each: Statement) -> tuple[int, int]:
        return sum(fact is not None for fact in (each.who, each.when)), len(each.text)

    return max((statement, other), key=facts)
