"""Values of JSON that any server may send, made safe to compute with and to store."""

from __future__ import annotations

import math


def finite_number(value: object) -> float | None:
    """A number, or text that spells one; None: it is neither, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def storable(text: str) -> str:
    """A text without halves of surrogate pairs, which no file and no database takes."""
    return text.encode("utf-8", "replace").decode()
