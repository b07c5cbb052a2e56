"""Facts in a file's first bytes that libavformat does not report."""

from __future__ import annotations

from typing import BinaryIO

_UNKNOWN_LENGTHS = (0, 0xFFFFFFFF)
"""Values that programs which write to a pipe put in the place of the length."""


def lacks_length(file: BinaryIO) -> bool:
    """Whether this is MPEG or AAC audio without a header that states its length."""
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # ID3v2: seven bits in each of four bytes, plus the header itself.
        a, b, c, d = head[6:10]
        start = 10 + (a << 21 | b << 14 | c << 7 | d)
    file.seek(start)
    frame = file.read(4096)
    file.seek(0)
    is_frame = len(frame) > 1 and frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0
    return is_frame and not any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


def declared_bytes(file: BinaryIO) -> int:
    """The size in bytes that a RIFF file (WAV, AVI) declares; 0 where it declares none."""
    file.seek(0)
    head = file.read(8)
    file.seek(0)
    length = int.from_bytes(head[4:8], "little")
    return length + 8 if head[:4] == b"RIFF" and length not in _UNKNOWN_LENGTHS else 0
