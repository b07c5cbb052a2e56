"""Why requests failed, in few words: they are labels of metrics."""

from __future__ import annotations

import re

from sttbatch.core.metrics import OK

_CAUSE_CHARS = 40


def cause_of(status: int | None, error: str | None) -> str:
    """`ok`, the HTTP status, or what happened to the connection; few different ones."""
    if error is None:
        return OK
    if status == 200:
        return "unreadable answer"
    if status is not None:
        return str(status)
    return re.split("[:,]", error, maxsplit=1)[0][:_CAUSE_CHARS]
