"""A type for the API key that never shows it."""

from __future__ import annotations

# A local server accepts any word as a key, and that word may be said in a recording.
_MIN_MASKED_LENGTH = 8


class Secret:
    """An API key; only `reveal` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def masked(self, text: str) -> str:
        """Replace the key in `text`: some servers repeat what they were sent."""
        return text.replace(self._value, "***") if len(self._value) >= _MIN_MASKED_LENGTH else text

    def masked_bytes(self, data: bytes) -> bytes:
        """Replace the key in a response's body."""
        value = self._value.encode()
        return data.replace(value, b"***") if len(value) >= _MIN_MASKED_LENGTH else data

    def __reduce__(self) -> str:
        raise TypeError("a key must not be stored")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
