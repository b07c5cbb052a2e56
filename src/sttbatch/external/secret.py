from __future__ import annotations

# A local server accepts any word as a key, which may also be spoken in a recording.
_MIN_MASKED_LENGTH = 8


class Secret:
    """An API key, which only `reveal` returns."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def masked(self, text: str) -> str:
        """Mask the key in a text, as some servers repeat it."""
        return text.replace(self._value, "***") if len(self._value) >= _MIN_MASKED_LENGTH else text

    def masked_bytes(self, data: bytes) -> bytes:
        """Mask the key in a response's body."""
        value = self._value.encode()
        return data.replace(value, b"***") if len(value) >= _MIN_MASKED_LENGTH else data

    def __reduce__(self) -> str:
        raise TypeError("a key must not be stored")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
