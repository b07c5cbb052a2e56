"""Finds the JSON value in what a chat model writes, which is seldom nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from sttbatch.outputs.unicode_text import encodable

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"```[a-zA-Z]*\s*\n(.*?)```", re.DOTALL)
_BEGIN = re.compile(r"[{\[]")
_MAX_BEGINS = 100
"""Prose has few brackets; what has more is no answer."""

_decoder = json.JSONDecoder(strict=False)


def json_value(text: str) -> Any | None:
    """The value that a text is, or has in a fence, or the largest one between its words.

    None: it has no object and no list, such as one that was cut off.
    """
    text = _THOUGHTS.sub("", text).strip()
    for candidate in (text, *_FENCE.findall(text)):
        value = _value_at(candidate.strip(), 0)
        if value is not None and value[1] == len(candidate.strip()):
            return value[0]
    found, at = None, 0
    longest = 0
    for begin in list(_BEGIN.finditer(text))[:_MAX_BEGINS]:
        if begin.start() < at:
            continue
        value = _value_at(text, begin.start())
        if value is None:
            continue
        at = value[1]
        if at - begin.start() > longest:
            found, longest = value[0], at - begin.start()
    return found


def one_line(value: Any) -> str:
    """A text among the values, on one line and as it can be stored; empty if it is no text.

    JSON can escape the halves of surrogate pairs, which models that are cut off write.
    """
    return " ".join(encodable(value).split()) if isinstance(value, str) else ""


def _value_at(text: str, at: int) -> tuple[Any, int] | None:
    """An object or a list that begins at a position, and the position behind it."""
    if not text.startswith(("{", "["), at):
        return None
    try:
        return _decoder.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
