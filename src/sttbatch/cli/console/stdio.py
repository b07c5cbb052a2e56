"""Standard streams that may be closed, full or left by their reader, and a run that goes on.

What is in flight was paid for: `2>&1 | head -1` must not end it.
"""

from __future__ import annotations

import io
import os
import sys


class _Lasting(io.FileIO):
    """Writes what can be written and drops the rest."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or 0  # type: ignore[arg-type]  # any buffer
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def keep_open() -> None:
    """Call it first: what is opened later must not get the number of a closed stream."""
    missing = [number for number in range(3) if not _is_open(number)]
    for _ in missing:
        os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None or 1 in missing:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    raw = _Lasting(2, "w", closefd=False)
    encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True
    )


def discard_stdout() -> None:
    """Let what Python flushes at its end go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
