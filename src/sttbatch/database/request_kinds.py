"""The kind of a request in SQL: keys of the answers of language models begin with theirs."""

from __future__ import annotations

from collections.abc import Callable

from sttbatch.core.jobs import KINDS, TRANSCRIPTION


def _by_prefix(value: Callable[[str], str], otherwise: str) -> str:
    cases = (
        f"WHEN substr(chunk_key, 1, {len(kind) + 1}) = '{kind}:' THEN '{value(kind)}'"
        for kind in KINDS
        if kind != TRANSCRIPTION
    )
    return f"CASE {' '.join(cases)} ELSE '{otherwise}' END"


KIND = _by_prefix(str, TRANSCRIPTION)
"""The kind of a row of `requests`; chunks and what is asked again of them are transcription."""

KEY_PREFIX = _by_prefix("{}:".format, "")
"""What the key of a language model's answer begins with, which says nothing of its recording."""
