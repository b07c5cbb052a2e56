"""Replaces words in transcripts by rules `wrong => right`, as outputs are written."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.models import Segment, Transcript, Word
from sttbatch.core.scripts import is_unspaced
from sttbatch.core.term_files import term_lines
from sttbatch.outputs.unicode_text import clusters, encodable, plain

_ARROW = " => "
_RULE = ""
"""The key of a rule in the trie; no token is empty."""


class Replacement(Struct, frozen=True):
    """How often a rule has changed a transcript."""

    wrong: str
    right: str
    count: int


class Edit(NamedTuple):
    """What stands in a text in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str
    rule: tuple[str, str]


def read_rules(path: Path) -> str:
    """The rules of a file, in the form of `OutputOptions.rules`.

    Raises UsageError, which names file and line, if it cannot be read or a line is no rule.
    """
    rules: dict[tuple[str, ...], tuple[int, str, str]] = {}
    for number, line in term_lines(path, "dictionary"):
        wrong, arrow, right = (part.strip() for part in line.partition(_ARROW.strip()))
        if not (wrong and arrow and right):
            raise UsageError(f"{path}, line {number}: write `wrong => right`")
        if plain(line) != line:
            raise UsageError(f"{path}, line {number}: it has a control character; remove it")
        key = tuple(token.key for token in _tokens(wrong))
        first, _, other = rules.setdefault(key, (number, wrong, right))
        if other != right:
            raise UsageError(
                f"{path}, line {number}: line {first} replaces it by {other!r}; keep one of them"
            )
    return "\n".join(sorted(f"{wrong}{_ARROW}{right}" for _, wrong, right in rules.values()))


def with_rules(transcript: Transcript, rules: str) -> tuple[Transcript, tuple[Replacement, ...]]:
    """A transcript with `rules` applied, and what they changed, the most frequent first.

    Each word is replaced once, so that no rule changes what another one has written. Phrases do not
    reach from one segment into the next.
    """
    if not rules:
        return transcript, ()
    dictionary = _dictionary(rules)
    counts: Counter[tuple[str, str]] = Counter()
    segments = tuple(dictionary.segment(each, counts) for each in transcript.segments)
    dropped = tuple(
        replace(each, segment=dictionary.segment(each.segment, Counter()))
        for each in transcript.dropped
    )
    changed = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return (
        replace(transcript, segments=segments, dropped=dropped),
        tuple(Replacement(*rule, count) for rule, count in changed),
    )


class _Token(NamedTuple):
    """A word, a mark, or white space; `key` is equal for what rules take as equal."""

    key: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    """The tokens of a text by Unicode's rules; single characters in scripts without spaces.

    How a dictionary parts Chinese depends on what stands around it, so rules could not rely on it.
    """
    # Loading ICU takes a while.
    from icu4py.breakers import WordBreaker

    found: list[_Token] = []
    at = 0
    for piece in WordBreaker(encodable(text), "root"):
        for part in clusters(piece) if is_unspaced(piece[0]) else (piece,):
            if part.isspace():
                key = " "
            elif part.isascii():
                key = part.lower()
            else:
                key = unicodedata.normalize("NFC", part).casefold()
            found.append(_Token(key, at, at + len(part)))
            at += len(part)
    return found


class _Dictionary:
    """Rules as a trie of tokens: a text takes a time in proportion to its length."""

    def __init__(self, rules: str) -> None:
        self._trie: dict[str, Any] = {}
        for line in rules.split("\n"):
            wrong, _, right = line.partition(_ARROW)
            node = self._trie
            for token in _tokens(wrong):
                node = node.setdefault(token.key, {})
            node[_RULE] = wrong, right

    def edits(self, text: str) -> list[Edit]:
        """What the rules change, the longest at each place, from left to right."""
        tokens, found, at = _tokens(text), list[Edit](), 0
        while at < len(tokens):
            end, rule = at + 1, None
            node, reached = self._trie.get(tokens[at].key), at + 1
            while node is not None:
                if _RULE in node:
                    end, rule = reached, node[_RULE]
                node = node.get(tokens[reached].key) if reached < len(tokens) else None
                reached += 1
            if rule is not None:
                start, until = tokens[at].start, tokens[end - 1].end
                original = text[start:until]
                right = _in_case_of(original, *rule)
                if right != original:
                    found.append(Edit(start, until, right, rule))
            at = end
        return found

    def segment(self, segment: Segment, counts: Counter[tuple[str, str]]) -> Segment:
        """A segment with its words; adds to `counts` how often each rule was applied."""
        edits = self.edits(segment.text)
        if not edits:
            return segment
        counts.update(edit.rule for edit in edits)
        return replace(
            segment,
            text=_edited(segment.text, edits),
            words=self._words(segment, edits) if segment.words else (),
        )

    def _words(self, segment: Segment, edits: Sequence[Edit]) -> tuple[Word, ...]:
        """The words of a segment whose text has these edits.

        Recognisers leave punctuation out of words, so the places of edits are counted in letters.
        """
        spaced = " ".join(word.text for word in segment.words)
        found = _moved(edits, segment.text, spaced)
        if found is None:
            # Words and text say different things: the rules have to find their own places.
            found = self.edits(spaced)
        return tuple(_with_edits(segment.words, spaced, found))


@lru_cache(4)
def _dictionary(rules: str) -> _Dictionary:
    return _Dictionary(rules)


def _edited(text: str, edits: Sequence[Edit]) -> str:
    parts, at = list[str](), 0
    for edit in edits:
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join([*parts, text[at:]])


def _moved(edits: Sequence[Edit], text: str, spaced: str) -> list[Edit] | None:
    """Edits of a text, as those of its words; None: they have not as many letters."""
    if text == spaced:
        return [*edits]
    in_text, in_words = _letters(text), _letters(spaced)
    if len(in_text) != len(in_words):
        return None
    number = {at: index for index, at in enumerate(in_text)}
    moved = list[Edit]()
    reached = 0
    for edit in edits:
        own = [at for at in range(edit.start, edit.end) if at in number]
        if not own:
            continue
        start, end = in_words[number[own[0]]], in_words[number[own[-1]]] + 1
        # Words may have marks too, as in C++.
        before, after = text[edit.start : own[0]], text[own[-1] + 1 : edit.end]
        if spaced.endswith(before, reached, start):
            start -= len(before)
        if spaced.startswith(after, end):
            end += len(after)
        moved.append(edit._replace(start=start, end=end))
        reached = end
    return moved


def _letters(text: str) -> list[int]:
    """Where its letters and digits are."""
    return [at for at, character in enumerate(text) if character.isalnum()]


def _with_edits(words: Sequence[Word], spaced: str, edits: Sequence[Edit]) -> Iterator[Word]:
    """Words, whose texts are `spaced`, after edits; those of one edit share its words' time."""
    begins = [0, *accumulate(len(word.text) + 1 for word in words)]
    waiting = list(reversed(edits))
    at = 0
    while at < len(words):
        first, own = at, list[Edit]()
        # An edit takes whole words along, and they may be the beginning of the next edit.
        while waiting and waiting[-1].start < begins[at + 1]:
            own.append(waiting.pop())
            while begins[at + 1] < own[-1].end:
                at += 1
        at += 1
        if not own:
            yield words[first]
            continue
        begin, end = begins[first], begins[at] - 1
        shifted = [edit._replace(start=edit.start - begin, end=edit.end - begin) for edit in own]
        texts = _edited(spaced[begin:end], shifted).split(" ")
        yield from _shared_time(texts, words[first].start_s, words[at - 1].end_s)


def _shared_time(texts: Sequence[str], start_s: float, end_s: float) -> Iterator[Word]:
    """Words that share a span of time in proportion to their lengths."""
    length = sum(map(len, texts))
    reached = 0
    for text in texts:
        begin_s = start_s + (end_s - start_s) * reached / length
        reached += len(text)
        yield Word(text, begin_s, start_s + (end_s - start_s) * reached / length)


def _in_case_of(original: str, wrong: str, right: str) -> str:
    """`right` in the case in which `original` is written, where that is not the rule's own."""
    if original == wrong:
        return right
    if original.isupper() and not wrong.isupper() and sum(map(str.isalpha, original)) > 1:
        return right.upper()
    if original.islower():
        # Where the rule writes `wrong` in lower case, its capitals in `right` are meant.
        return right if wrong.islower() else right.lower()
    if original[0].isupper() and right.islower():
        return right[0].upper() + right[1:]
    return right
