"""Patterns that select cache keys, as in a shell; they mean the same in every level."""

from __future__ import annotations

import functools
import re


def matches(pattern: str, text: object) -> bool:
    """Whether `pattern` matches the whole of `text`, by the rules of SQLite's GLOB.

    `*` stands for any characters, `?` for one, `[a-z]` for one of a set and `[^a-z]` for one that
    is not in it; case counts. What is not text matches nothing.
    """
    return isinstance(text, str) and _compiled(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=8)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "[":
            part, at = _set(pattern, at + 1)
        else:
            part = {"*": ".*", "?": "."}.get(pattern[at], re.escape(pattern[at]))
            at += 1
        parts.append(part)
    return re.compile("".join(parts), re.DOTALL)


def _set(pattern: str, at: int) -> tuple[str, int]:
    """A set as a regular expression, and the index behind it; one without an end matches nothing.

    `]` is a member where it comes first, and `-` where it comes first or last.
    """
    negated = pattern[at : at + 1] == "^"
    at += negated
    end = pattern.find("]", at + 1)
    if end < 0:
        return "(?!)", len(pattern)
    members = []
    while at < end:
        low = pattern[at]
        members.append(re.escape(low))
        at += 1
        if low != "]" and pattern[at] == "-" and at + 1 < end:
            if low <= pattern[at + 1]:
                members.append(f"{re.escape(low)}-{re.escape(pattern[at + 1])}")
            at += 2
    return f"[{'^' if negated else ''}{''.join(members)}]", end + 1
