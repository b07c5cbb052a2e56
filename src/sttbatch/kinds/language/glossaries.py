"""Glossaries: how certain terms are to be translated."""

from __future__ import annotations

import re
from pathlib import Path

from sttbatch.core.errors import UsageError

_LARGEST_BYTES = 1 << 20
_COMMENT = re.compile(r"(?<!\S)#.*")
"""C# is a term."""


def read_glossary(path: Path) -> dict[str, str]:
    """Read lines `term = translation`; `#` begins a comment at a line's begin or after a space.

    Raises UsageError, which names the line, if the file cannot be read or has another line.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
        raise UsageError(f"the glossary {path} cannot be read: {reason}") from error
    if len(text) > _LARGEST_BYTES:
        raise UsageError(f"the glossary {path} is larger than {_LARGEST_BYTES >> 10} KiB")
    terms: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = _COMMENT.sub("", line).strip()
        if not stripped:
            continue
        term, equals, translation = (part.strip() for part in stripped.partition("="))
        if not (term and equals and translation):
            raise UsageError(f"{path}, line {number}: write `term = translation`")
        terms[term] = translation
    return terms
