"""SpooledContent: an output's bytes, between their making and their writing."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Self

IN_MEMORY_BYTES = 1 << 18
"""Longer outputs are in a temporary file until they are written."""

_BLOCK_BYTES = 1 << 18


class SpooledContent:
    """The bytes of one output; in memory if they are few, else in a file without a name.

    To be closed, as by `with`. Its constructor raises OSError if that file cannot be written.

    Args:
        pieces: the bytes in order, each piece of which is let go before the next is made.
        folder: for the temporary file; None: the system's, which may be in memory.

    Attributes:
        file: readable from its start, which whoever reads it has to seek.
        sha256: of all bytes, in hexadecimal digits.
    """

    __slots__ = ("file", "sha256", "size_bytes")

    def __init__(self, pieces: Iterable[bytes], folder: Path | None = None) -> None:
        digest = hashlib.sha256()
        with contextlib.ExitStack() as opened:
            place = None if folder is None else str(folder)
            file = opened.enter_context(SpooledTemporaryFile(IN_MEMORY_BYTES, dir=place))
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
            # What is buffered may find the disk full.
            file.flush()
            self.size_bytes = file.tell()
            opened.pop_all()
        self.file, self.sha256 = file, digest.hexdigest()

    def blocks(self) -> Iterator[bytes]:
        """The bytes from the start, some at a time."""
        self.file.seek(0)
        while block := self.file.read(_BLOCK_BYTES):
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()
