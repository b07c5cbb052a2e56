"""Text for a terminal: escaped names and transcripts, times, durations and tables."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

# These include bidirectional marks, which change how a line is read.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_KIB = 1024


def printable(text: str) -> str:
    """`text` with control, format and undecodable characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode("ascii")
        if unicodedata.category(char) in _UNSAFE_CATEGORIES
        else char
        for char in text
    )


def clock(seconds: float) -> str:
    """Format a duration as 1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def local_time(at: float | None, unknown: str = "-") -> str:
    """Format seconds since the epoch as date and minute in the local time zone."""
    return unknown if at is None else f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M}"


def utc_time(at: float) -> str:
    """Format seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def aligned(rows: Sequence[Sequence[str]], numbers: int = 0) -> list[str]:
    """The rows of a table as lines; the last `numbers` columns are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first_number = len(widths) - numbers
    return [
        "  ".join(
            cell.ljust(width) if column < first_number else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 chunk`, `2 chunks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(size_bytes: float) -> str:
    """A number of bytes in the unit that suits it: 512 B, 1.5 KiB."""
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.1f} GiB"
