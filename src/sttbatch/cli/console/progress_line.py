"""A line on a terminal that counts, and is gone afterwards."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self


class ProgressLine:
    """Shows `what` and a count on standard error, if that is a terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self._is_shown = True
            sys.stderr.write(f"\r{self._what}: {done} of {total}\x1b[K")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        if self._is_shown:
            self._is_shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
