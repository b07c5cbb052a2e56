"""How times in a recording are written for people."""

from __future__ import annotations


def timestamp(seconds: float) -> str:
    """A time in a recording, such as 00:12:04; parts of a second are left out."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
