"""Resolves overlaps: selects the words of two chunks that contain the same seconds of audio.

The words of both are aligned by text and time (a dynamic programme, as for edit distances). By text
alone one "no" of "no no no" would be taken for another; by times alone a word that the two place on
different sides of the cut would be lost or doubled. Before the cut the words of the earlier chunk
are used, after it those of the later one, since each is unreliable only at its own end; the
change-over is between two words that both have.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile

from msgspec import Struct

from sttbatch.core.models import Segment, Word
from sttbatch.core.scripts import letters
from sttbatch.processing.transcript.words import Token

ALIGN_WITHIN_S = 1.5
"""Distance from the cut up to which words are compared: half the overlap, and inexact times."""

ALIGN_WITHIN_UNTIMED_S = 4.0
"""The same for words that were spread over their segment, whose times are less exact."""

MOST_WORDS = 500
"""The same in words, of which 8 s hold fifty, or two hundred characters; whatever their times."""

SAME_WORD_S = 0.2
"""Typical distance of the same word in both chunks: 0.1 s of error in each."""

AT_MOST_SCALES = 2
"""Maximum distance of the same word in both chunks, in scales."""


class _Trust(Struct, frozen=True):
    """Weights of the alignment; a pair with the same text at the same time counts 1.

    Attributes:
        scale_s: typical distance of the same word in both chunks.
        mismatch: weight of a pair with different texts at the same time.
        unmatched: cost of a word without a counterpart in the other chunk.
        same_word_s: up to this distance, different texts are the same word.
    """

    scale_s: float
    mismatch: float
    unmatched: float
    same_word_s: float


_TIMED = _Trust(SAME_WORD_S, mismatch=0.4, unmatched=0.1, same_word_s=SAME_WORD_S)
"""With exact times, two words at the same time are one word, even if their texts differ."""

_SPREAD = _Trust(1.0, mismatch=0.1, unmatched=0.2, same_word_s=-1.0)
"""With spread times, order counts more: equal errors must not be paired across matching words."""


def change_over(left: Sequence[Token], right: Sequence[Token], cut_s: float) -> tuple[int, int]:
    """How many tokens of `left` are used, and the first token of `right` that is used."""
    timed = all(token.exact for token in (*left[-1:], *right[:1]))
    within_s = ALIGN_WITHIN_S if timed else ALIGN_WITHIN_UNTIMED_S
    first = next((i for i, token in enumerate(left) if token.end_s >= cut_s - within_s), len(left))
    past = next((j for j, t in enumerate(right) if t.start_s > cut_s + within_s), len(right))
    first, past = max(first, len(left) - MOST_WORDS), min(past, MOST_WORDS)
    if first == len(left) or not past or right[0].start_s - left[-1].end_s >= SAME_WORD_S:
        # Only one of them has words near the cut, or the one ends before the other begins.
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
        # Spread times are too inexact to cut among words that only one of them has.
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
    """As `change_over`, between the two words around the cut that both have.

    `in_left` and `in_right` are the ranges of tokens between these two words.
    """
    from_left, from_right = (in_left[1], in_right[1]), (in_left[0], in_right[0])
    only_left, only_right = left[slice(*in_left)], right[slice(*in_right)]
    alone = [*only_left, *only_right]
    if not alone:
        return from_right
    exact = all(token.exact for token in alone)
    missed = only_left and only_right and exact
    if missed and only_left[-1].end_s <= only_right[0].start_s + SAME_WORD_S / 2:
        # Each lacks the words of the other.
        return in_left[1], in_right[0]
    is_left_reliable = sum(token.middle_s for token in alone) / len(alone) < cut_s
    if only_left and only_right:
        return from_left if is_left_reliable else from_right
    # Words that only one of them has are used if that one is reliable there, or if the other has
    # a gap there.
    if is_left_reliable == bool(only_left):
        return from_left if is_left_reliable else from_right
    other, (after, until) = (right, in_right) if only_left else (left, in_left)
    before, behind = other[after - 1], other[until]
    has_room = (
        before.end_s - SAME_WORD_S / 2 <= alone[0].start_s
        and alone[-1].end_s <= behind.start_s + SAME_WORD_S / 2
    )
    # Spread times do not show gaps between words.
    if has_room or not (exact and before.exact and behind.exact):
        return from_left if only_left else from_right
    return from_right if only_left else from_left


def _aligned(left: Sequence[Token], right: Sequence[Token], trust: _Trust) -> list[tuple[int, int]]:
    """Pairs of indexes of the same word in both, in order, with the maximum total weight.

    A local alignment (Smith and Waterman): tokens before its first pair and after its last cost
    nothing. A pair with the same text counts 1 / (1 + (distance / scale)^2), so that the same word
    outweighs a word and its repetition.
    """
    left_texts, right_texts = [plain(t.text) for t in left], [plain(t.text) for t in right]
    columns = len(right) + 1
    best = [[0.0] * columns for _ in range(len(left) + 1)]
    worth = [[0.0] * columns for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            apart = (left[i].middle_s - right[j].middle_s) / trust.scale_s
            if abs(apart) < AT_MOST_SCALES:
                share = 1.0 if left_texts[i] == right_texts[j] else trust.mismatch
                worth[i][j] = share / (1 + apart * apart)
            best[i][j] = max(
                0.0,
                worth[i][j] + best[i + 1][j + 1],
                best[i + 1][j] - trust.unmatched,
                best[i][j + 1] - trust.unmatched,
            )
    pairs = []
    i, j = max(
        ((i, j) for i in range(len(left)) for j in range(len(right))),
        key=lambda at: best[at[0]][at[1]],
    )
    while best[i][j]:
        if best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            apart_s = abs(left[i].middle_s - right[j].middle_s)
            if worth[i][j] and (left_texts[i] == right_texts[j] or apart_s <= trust.same_word_s):
                pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j] - trust.unmatched:
            i += 1
        else:
            j += 1
    return pairs


def same_word(known: Word, words: Iterable[Word]) -> Word | None:
    """The word that another transcription has for a known one: the same text at the same time."""

    def distance_s(word: Word) -> float:
        return abs(middle_s(word) - middle_s(known))

    text = plain(known.text)
    near = [each for each in words if distance_s(each) <= SAME_WORD_S and plain(each.text) == text]
    return min(near, key=distance_s, default=None)


def middle_s(part: Segment | Word) -> float:
    return (part.start_s + part.end_s) / 2


def plain(text: str) -> str:
    """A word without case, punctuation and differences of encoding, for comparison."""
    return letters(text) or unicodedata.normalize("NFKC", text).casefold()
