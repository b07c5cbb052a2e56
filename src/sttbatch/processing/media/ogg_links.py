"""Links of a chained Ogg file, which are complete streams with their own headers and clock.

Radio streams and joined files are chained (RFC 3533, 4). libavformat reads only the headers of the
first link, so each link is opened as a separate file.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

MAGIC = b"OggS"

_FIRST_PAGE = re.compile(rb"OggS\0[\2\3\6\7]", re.DOTALL)
"""Capture pattern, version 0, and flags with 'beginning of stream' (RFC 3533, 6)."""

_HEADER_BYTES = 27
_LONGEST_HEADER = _HEADER_BYTES + 255
_BLOCK_BYTES = 1 << 20


class Slice(io.RawIOBase):
    """A part of a file, from `start` to `end`, as a file."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._start = start
        self._size = end - start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def find_links(file: BinaryIO, size: int) -> list[tuple[int, int]]:
    """The start and end offsets of each link in bytes; none if the file is not Ogg."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return []
    starts: list[int] = []
    follows = -1
    for at in _first_pages(file):
        # Streams that are multiplexed in one link begin on pages that follow each other.
        if at != follows:
            starts.append(at)
        follows = at + _page_bytes(file, at)
    return list(zip(starts, [*starts[1:], size], strict=True))


def _first_pages(file: BinaryIO) -> Iterator[int]:
    """The offsets of pages that are the first of a stream."""
    at, tail = 0, b""
    while True:
        file.seek(at)
        block = file.read(_BLOCK_BYTES)
        if not block:
            return
        held = tail + block
        before = at - len(tail)
        yield from (before + found.start() for found in _FIRST_PAGE.finditer(held))
        tail, at = held[-5:], at + len(block)


def _page_bytes(file: BinaryIO, at: int) -> int:
    file.seek(at)
    header = file.read(_LONGEST_HEADER)
    if len(header) < _HEADER_BYTES:
        return len(header)
    segments = header[26]
    return _HEADER_BYTES + segments + sum(header[_HEADER_BYTES : _HEADER_BYTES + segments])
