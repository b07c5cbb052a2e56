"""Files of terms, one a line, which people write by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sttbatch.core.errors import UsageError

_LARGEST_BYTES = 1 << 22
_COMMENT = re.compile(r"(?<!\S)#.*")
"""C# is a term."""


def term_lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers; `what` says in messages what the file is.

    `#` begins a comment at a line's begin or after a space; lines without anything else are left
    out, and white space is single spaces. Raises UsageError if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not valid UTF-8"
        raise UsageError(f"the {what} {path} cannot be read: {reason}") from error
    if len(data) > _LARGEST_BYTES:
        raise UsageError(f"the {what} {path} is larger than {_LARGEST_BYTES >> 20} MiB")
    # By \n alone: other line breaks of Unicode would make numbers that no editor shows.
    for number, line in enumerate(text.split("\n"), 1):
        if stripped := " ".join(_COMMENT.sub("", line).split()):
            yield number, stripped
