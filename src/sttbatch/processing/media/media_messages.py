"""What is said between sttbatch and its media workers: length-prefixed msgpack over pipes."""

from __future__ import annotations

import struct

import msgspec

from sttbatch.core.models import AudioChunk, AudioFile
from sttbatch.processing.media.loudness import LoudnessLevels, Span
from sttbatch.processing.media.split_plan import SplitPlan

LENGTH = struct.Struct("<I")

SPOOL_BYTES = 1 << 20
"""A larger chunk travels through a temporary file instead of the pipe: nobody holds it in memory
while it waits, and no allocator keeps what a dozen of them took."""


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """What must not change while a recording is read."""

    size_bytes: int
    mtime_ns: int
    inode: int


class Probe(msgspec.Struct, frozen=True, tag=True):
    """What does this file hold? `path` as bytes, since names need not be text."""

    path: bytes
    stream: int


class Split(msgspec.Struct, frozen=True, tag=True):
    """Begin to cut a file, or an earlier upload given as `data`."""

    plan: SplitPlan
    stream: int
    spool: str
    path: bytes | None = None
    data: bytes | None = None
    state: FileState | None = None


class Measure(msgspec.Struct, frozen=True, tag=True):
    """How loud are these stretches, in order and apart, of a file or an earlier upload?"""

    stretches: tuple[Span, ...]
    path: bytes | None = None
    data: bytes | None = None


class Next(msgspec.Struct, frozen=True, tag=True):
    """Cut the next chunk."""


class Probed(msgspec.Struct, frozen=True, tag=True):
    """The answer to Probe."""

    file: AudioFile


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The answer to Split: ready for Next."""


class Chunk(msgspec.Struct, frozen=True, tag=True):
    """The answer to Next."""

    chunk: AudioChunk


class Measured(msgspec.Struct, frozen=True, tag=True):
    """The answer to Measure; the clock says at which timestamp a second lies."""

    levels: tuple[LoudnessLevels, ...]
    time_base: float
    origin_pts: int


class Finished(msgspec.Struct, frozen=True, tag=True):
    """No chunk is left; `counted_s` is the recording's real duration in seconds."""

    counted_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Any answer may be this; the message does not name the file."""

    message: str
    no_audio: bool = False


Request = Probe | Split | Measure | Next
Reply = Probed | Opened | Chunk | Measured | Finished | Failed

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
