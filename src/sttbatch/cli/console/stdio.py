"""Standard streams whose failure does not end a run: `2>&1 | head -1` must not cost answers."""

from __future__ import annotations

import io
import os
import sys

from sttbatch.cli.console.text import printable


class _LossyStream(io.FileIO):
    """A file that drops data that it cannot write."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or 0  # type: ignore[arg-type]  # any buffer
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


class StandardOutput:
    """Standard output that may close early: after `| head -1` writing has no effect.

    `is_open`: what is written may still be read. `fault` is why writing failed, except for a closed
    pipe.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.fault: str | None = None

    def write(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except OSError as error:
            self.is_open = False
            if not isinstance(error, BrokenPipeError):
                self.fault = error.strerror
            discard_stdout()

    def line(self, text: str) -> None:
        self.write(printable(text).encode("utf-8", "backslashreplace") + b"\n")


def print_lines(lines: list[str]) -> None:
    """Print lines on standard output; a closed pipe is no error."""
    output = StandardOutput()
    for line in lines:
        output.line(line)


def keep_open() -> None:
    """Open closed standard streams, before an opened file gets the number of one."""
    missing = [number for number in range(3) if not _is_open(number)]
    for _ in missing:
        os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None or 1 in missing:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    raw = _LossyStream(2, "w", closefd=False)
    encoding = sys.stderr.encoding if sys.stderr is not None else "utf-8"
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=True
    )


def discard_stdout() -> None:
    """Redirect standard output to the null device, as Python flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
