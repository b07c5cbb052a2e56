"""The key, in a type that does not show it."""

from __future__ import annotations

# A server on this machine takes any word for a key, and that word may be said in a recording.
_TELLING = 8


class Secret:
    """An API key; only `reveal` gives it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def masked(self, text: str) -> str:
        """`text` without it: some servers repeat what they were sent."""
        return text.replace(self._value, "***") if len(self._value) >= _TELLING else text

    def masked_bytes(self, data: bytes) -> bytes:
        """The same for what a server answered."""
        value = self._value.encode()
        return data.replace(value, b"***") if len(value) >= _TELLING else data

    def __reduce__(self) -> str:
        raise TypeError("a key is not to be stored")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
