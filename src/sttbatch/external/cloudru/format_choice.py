"""FormatChoice: the best response format that the endpoint does not refuse."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

SIMPLER_FORMAT_FOR_S = 600.0
"""Seconds until the best format is requested again, as a process may live for months."""


class FormatChoice:
    """Chooses for all lanes; `warn` is called once when a format is given up.

    Args:
        names: for messages, the best format first; if a server refuses one, the next is requested.
    """

    def __init__(self, names: Sequence[str], warn: Callable[[str], None]) -> None:
        self._names = names
        self._warn = warn
        self._index = 0
        self._simpler_until = 0.0
        self._warned = 0
        self._refusal = ""

    @property
    def index(self) -> int:
        """That of the format that is requested now."""
        return self._index

    def next_index(self) -> int:
        """That of the format to request next, after a while the best one again."""
        if self._index and time.monotonic() >= self._simpler_until:
            self._index = self._warned = 0
        return self._index

    def refused(self, index: int, message: str) -> bool:
        """Request the next format from now on; False: there is none."""
        if self._index == index:
            if index + 1 == len(self._names):
                return False
            self._index += 1
            self._simpler_until = time.monotonic() + SIMPLER_FORMAT_FOR_S
            self._refusal = message
        return True

    def served(self, index: int) -> None:
        """Note that a request for this format was answered."""
        if index > self._warned:
            self._warned = index
            self._warn(
                f"the endpoint refuses {self._names[0]} ({self._refusal}); continuing with "
                f"{self._names[index]}"
            )
