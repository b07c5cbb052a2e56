"""Windows: how many lines go out with one question."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from sttbatch.kinds.language.token_estimates import estimated_tokens

LINES = 40
"""Lines of a window, if a sentence ends there."""

MOST_LINES = 60
MOST_TOKENS = 3000
"""Models lose lines of long answers."""

# Of the prompt, the lines before, JSON's frame, and what a model thinks.
_BESIDE_TOKENS = 2000
_FEWEST_TOKENS = 100

_SENTENCE_END = re.compile(r"[.!?…。！？।؟][\s\"'»”’)\]]*$")  # noqa: RUF001 - of all scripts


def window_tokens(context_tokens: int) -> int:
    """The most tokens of a window whose translation, of twice as many, fits into a context too."""
    fitting = (context_tokens - _BESIDE_TOKENS) // 3
    return max(_FEWEST_TOKENS, min(MOST_TOKENS, fitting))


class Line(Struct, frozen=True):
    """The text of a segment; `id` is its ordinal in the transcript, counted from 1.

    `duration_s` is how long it is shown, `pause_s` the silence that follows it.
    """

    id: int
    text: str
    duration_s: float = 0.0
    pause_s: float = 0.0


def windows_of(lines: Sequence[Line], most_tokens: int = MOST_TOKENS) -> list[Sequence[Line]]:
    """All lines in their order, in windows that end with a sentence where one ends in time."""
    windows = []
    begin = 0
    while begin < len(lines):
        end = _end(lines, begin, most_tokens)
        windows.append(lines[begin:end])
        begin = end
    return windows


def _end(lines: Sequence[Line], begin: int, most_tokens: int) -> int:
    most = _most(lines, begin, most_tokens)
    if most == len(lines) and most - begin <= LINES:
        return most
    wanted = min(begin + LINES, most)
    for end in range(wanted, most + 1):
        if _SENTENCE_END.search(lines[end - 1].text):
            return end
    # No sentence ends behind it, so one that ends before it, or the longest pause.
    for end in range(wanted - 1, begin + (wanted - begin) // 2, -1):
        if _SENTENCE_END.search(lines[end - 1].text):
            return end
    return max(range(wanted, most + 1), key=lambda end: lines[end - 1].pause_s)


def _most(lines: Sequence[Line], begin: int, most_tokens: int) -> int:
    """The end of the longest window that begins at `begin`, which has one line at least."""
    tokens = 0
    for end in range(begin, min(begin + MOST_LINES, len(lines))):
        tokens += estimated_tokens(lines[end].text)
        if tokens > most_tokens and end > begin:
            return end
    return min(begin + MOST_LINES, len(lines))
