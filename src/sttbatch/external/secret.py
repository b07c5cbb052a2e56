from __future__ import annotations

import re

# A local server accepts any word as a key, which may also be spoken in a recording.
_MIN_MASKED_LENGTH = 8

# Nested JSON has several; without a limit a long row of them would take minutes.
_BACKSLASHES = r"\\{1,8}"


class Secret:
    """An API key, which only `reveal` returns."""

    __slots__ = ("_spellings", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._spellings: re.Pattern[str] | None = None

    def reveal(self) -> str:
        return self._value

    def masked(self, text: str) -> str:
        """Mask the key in decoded text, also as JSON or Python would escape it.

        Some servers repeat it. Call it before the text is shortened.
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
