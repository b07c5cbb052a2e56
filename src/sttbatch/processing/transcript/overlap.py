"""Resolves overlaps: which words of two chunks that heard the same seconds are kept.

The words of both are aligned by text and time together (a dynamic programme, as for edit
distances). Text alone would take one "no" of "no no no" for another; times alone would lose or
double a word that the two place on different sides of the cut. Before the cut the earlier chunk is
believed and after it the later one, since each is damaged only at its own end; the change-over
lies between two words that both heard.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from sttbatch.core.scripts import letters
from sttbatch.processing.transcript.words import Token

ALIGN_WITHIN_S = 1.5
"""Words are compared up to so far from the cut: half the overlap, and room for wrong times."""

ALIGN_WITHIN_UNTIMED_S = 4.0
"""The same where words were spread over their segment, as pauses make them drift."""

MOST_WORDS = 500
"""The same in words, of which 8 s hold fifty, or two hundred characters; whatever their times."""

SAME_WORD_S = 0.2
"""Two hearings of one word lie about this far apart: 0.1 s of error in each."""

AT_MOST_SCALES = 2
"""Further apart, in scales, the same text is another word."""


@dataclass(frozen=True, slots=True)
class _Trust:
    """Weights for the alignment of two hearings; a word heard alike at the same time counts 1.

    Attributes:
        scale_s: two hearings of one word lie about this far apart.
        misheard: weight of a word that the other chunk heard differently at the same time.
        unheard: cost of a word without a counterpart in the other chunk.
        same_place_s: two different texts no further apart are hearings of the same word.
    """

    scale_s: float
    misheard: float
    unheard: float
    same_place_s: float


_TIMED = _Trust(SAME_WORD_S, misheard=0.4, unheard=0.1, same_place_s=SAME_WORD_S)
"""With exact times, two words at the same time are one, heard right or wrong."""

_SPREAD = _Trust(1.0, misheard=0.1, unheard=0.2, same_place_s=-1.0)
"""With spread times, order counts more: two mishearings that happen to be alike must not pair up
across words that were heard right."""


def change_over(left: Sequence[Token], right: Sequence[Token], cut_s: float) -> tuple[int, int]:
    """How many tokens of `left` stay, and from which token of `right` on it goes on."""
    timed = all(token.exact for token in (*left[-1:], *right[:1]))
    within_s = ALIGN_WITHIN_S if timed else ALIGN_WITHIN_UNTIMED_S
    first = next((i for i, token in enumerate(left) if token.end_s >= cut_s - within_s), len(left))
    past = next((j for j, t in enumerate(right) if t.start_s > cut_s + within_s), len(right))
    first, past = max(first, len(left) - MOST_WORDS), min(past, MOST_WORDS)
    if first == len(left) or not past or right[0].start_s - left[-1].end_s >= SAME_WORD_S:
        # Only one of them heard anything around here, or the one stopped before the other began.
        return len(left), 0
    trust = _TIMED if timed else _SPREAD
    pairs = [(first + i, j) for i, j in _aligned(left[first:], right[:past], trust)]

    def pair_s(pair: tuple[int, int]) -> float:
        return (left[pair[0]].middle_s + right[pair[1]].middle_s) / 2

    before = list(takewhile(lambda pair: pair_s(pair) < cut_s, pairs))
    after = pairs[len(before) :]
    low_left, low_right = (before[-1][0] + 1, before[-1][1] + 1) if before else (0, 0)
    high_left, high_right = after[0] if after else (len(left), len(right))
    if before and after:
        return _between(left, right, (low_left, high_left), (low_right, high_right), cut_s)
    if not timed and (before or after):
        # Spread times do not say where the cut lies among words that only one of them heard.
        return (low_left, low_right) if before else (high_left, high_right)
    return (
        low_left + sum(token.middle_s < cut_s for token in left[low_left:high_left]),
        low_right + sum(token.middle_s < cut_s for token in right[low_right:high_right]),
    )


def _between(
    left: Sequence[Token],
    right: Sequence[Token],
    in_left: tuple[int, int],
    in_right: tuple[int, int],
    cut_s: float,
) -> tuple[int, int]:
    """As `change_over`, between the two words around the cut that both heard.

    `in_left` and `in_right` span the tokens after the one word and before the other.
    """
    from_left, from_right = (in_left[1], in_right[1]), (in_left[0], in_right[0])
    only_left, only_right = left[slice(*in_left)], right[slice(*in_right)]
    alone = [*only_left, *only_right]
    if not alone:
        return from_right
    exact = all(token.exact for token in alone)
    missed = only_left and only_right and exact
    if missed and only_left[-1].end_s <= only_right[0].start_s + SAME_WORD_S / 2:
        # Each missed what the other one heard.
        return in_left[1], in_right[0]
    left_is_believed = sum(token.middle_s for token in alone) / len(alone) < cut_s
    if only_left and only_right:
        return from_left if left_is_believed else from_right
    # What only one of them heard is kept if that one is believed there, or if the other heard
    # nothing else there.
    if left_is_believed == bool(only_left):
        return from_left if left_is_believed else from_right
    other, (after, until) = (right, in_right) if only_left else (left, in_left)
    before, behind = other[after - 1], other[until]
    has_room = (
        before.end_s - SAME_WORD_S / 2 <= alone[0].start_s
        and alone[-1].end_s <= behind.start_s + SAME_WORD_S / 2
    )
    # Times that were spread say nothing about the room between two words.
    if has_room or not (exact and before.exact and behind.exact):
        return from_left if only_left else from_right
    return from_right if only_left else from_left


def _aligned(left: Sequence[Token], right: Sequence[Token], trust: _Trust) -> list[tuple[int, int]]:
    """Pairs of hearings of one word, in order, that agree best in sum.

    A local alignment, as of Smith and Waterman: what stands before its first pair and after its
    last one costs nothing. A pair with the same text is worth 1 / (1 + (distance / scale)^2), so
    that two hearings of one word outweigh a word and its repetition.
    """
    left_texts, right_texts = [plain(t.text) for t in left], [plain(t.text) for t in right]
    columns = len(right) + 1
    best = [[0.0] * columns for _ in range(len(left) + 1)]
    worth = [[0.0] * columns for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            apart = (left[i].middle_s - right[j].middle_s) / trust.scale_s
            if abs(apart) < AT_MOST_SCALES:
                share = 1.0 if left_texts[i] == right_texts[j] else trust.misheard
                worth[i][j] = share / (1 + apart * apart)
            best[i][j] = max(
                0.0,
                worth[i][j] + best[i + 1][j + 1],
                best[i + 1][j] - trust.unheard,
                best[i][j + 1] - trust.unheard,
            )
    pairs = []
    i, j = max(
        ((i, j) for i in range(len(left)) for j in range(len(right))),
        key=lambda at: best[at[0]][at[1]],
    )
    while best[i][j]:
        if best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            apart_s = abs(left[i].middle_s - right[j].middle_s)
            if worth[i][j] and (left_texts[i] == right_texts[j] or apart_s <= trust.same_place_s):
                pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j] - trust.unheard:
            i += 1
        else:
            j += 1
    return pairs


def plain(text: str) -> str:
    """Case, accents' encoding and punctuation differ between two hearings of one word."""
    return letters(text) or unicodedata.normalize("NFKC", text).casefold()
