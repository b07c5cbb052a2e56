"""Patterns that select cache keys, as in a shell; they mean the same in every level."""

from __future__ import annotations

import functools
import re

# A set (its negation, its members), or one character. `]` is a member where it comes first.
_TOKEN = re.compile(r"\[(\^?+)(\][^]]*|[^]]+)\]|.", re.DOTALL)
_MEMBER = re.compile(r"([^]])-(.)|.", re.DOTALL)
_NOTHING = "(?!)"


def matches(pattern: str, text: object) -> bool:
    """Whether `pattern` matches the whole of `text`, by the rules of SQLite's GLOB.

    `*` stands for any characters, `?` for one, `[a-z]` for one of a set and `[^a-z]` for one that
    is not in it; case counts. What is not text matches nothing.
    """
    return isinstance(text, str) and _compiled(pattern).fullmatch(text) is not None


@functools.lru_cache(maxsize=8)
def _compiled(pattern: str) -> re.Pattern[str]:
    # A `[` that begins no set has no end.
    special = {"*": ".*", "?": ".", "[": _NOTHING}
    parts = [
        f"[{token[1]}{''.join(map(_members, _MEMBER.finditer(token[2])))}]"
        if token[2]
        else special.get(token[0], re.escape(token[0]))
        for token in _TOKEN.finditer(pattern)
    ]
    return re.compile("".join(parts), re.DOTALL)


def _members(member: re.Match[str]) -> str:
    low, high = member[1] or member[0], member[2] or ""
    ranged = f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""
    return re.escape(low) + ranged
