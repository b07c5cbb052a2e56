"""A type for the API key that never shows it."""

from __future__ import annotations

import re

# A local server accepts any word as a key, and that word may be said in a recording.
_MIN_MASKED_LENGTH = 8

# Text in JSON in JSON has more than one; without a limit a long row of them would take minutes.
_BACKSLASHES = r"\\{1,8}"


class Secret:
    """An API key; only `reveal` gives it away."""

    __slots__ = ("_spellings", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._spellings: re.Pattern[str] | None = None

    def reveal(self) -> str:
        return self._value

    def masked(self, text: str) -> str:
        """Replace the key in `text`, however JSON or Python would spell it there.

        Some servers repeat what they were sent. Apply it to decoded text, and before it is cut.
        """
        if len(self._value) < _MIN_MASKED_LENGTH:
            return text
        if self._value in text:
            text = text.replace(self._value, "***")
        if "\\" not in text:
            return text
        if self._spellings is None:
            self._spellings = re.compile("".join(map(_spelling, self._value)))
        return self._spellings.sub("***", text)

    def __reduce__(self) -> str:
        raise TypeError("a key must not be stored")

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def _spelling(character: str) -> str:
    plain, code = re.escape(character), ord(character)
    return f"(?:{plain}|{_BACKSLASHES}(?:{plain}|(?i:u{code:04x}|x{code:02x})))"
