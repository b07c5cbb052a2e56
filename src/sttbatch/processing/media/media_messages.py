"""Messages between sttbatch and its media workers: length-prefixed msgpack over pipes."""

from __future__ import annotations

import struct

import msgspec

from sttbatch.core.models import AudioChunk, AudioFile
from sttbatch.processing.media.loudness import LoudnessLevels, Span
from sttbatch.processing.media.split_plan import SplitPlan

LENGTH = struct.Struct("<I")

SPOOL_BYTES = 1 << 20
"""A larger chunk passes through a temporary file instead of the pipe: no process holds it in memory
while it waits, and no allocator keeps what a dozen of them took."""


class FileState(msgspec.Struct, frozen=True, array_like=True):
    """The state of a file that must not change while it is read."""

    size_bytes: int
    mtime_ns: int
    inode: int


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Request to read a file's headers; `path` is bytes, since names need not be text."""

    path: bytes
    stream: int


class Split(msgspec.Struct, frozen=True, tag=True):
    """Request to begin to cut a file, or an earlier upload given as `data`."""

    plan: SplitPlan
    stream: int
    spool: str
    path: bytes | None = None
    data: bytes | None = None
    state: FileState | None = None


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Request to measure spans, in order and disjoint, of a file or an earlier upload."""

    spans: tuple[Span, ...]
    path: bytes | None = None
    data: bytes | None = None


class NextChunk(msgspec.Struct, frozen=True, tag=True):
    """Request to cut the next chunk."""


class Probed(msgspec.Struct, frozen=True, tag=True):
    """The reply to Probe."""

    file: AudioFile


class SplitOpened(msgspec.Struct, frozen=True, tag=True):
    """The reply to Split: NextChunk may follow."""


class CutChunk(msgspec.Struct, frozen=True, tag=True):
    """The reply to NextChunk: the chunk."""

    chunk: AudioChunk


class Measured(msgspec.Struct, frozen=True, tag=True):
    """The reply to Measure; the time base and origin convert seconds to timestamps."""

    levels: tuple[LoudnessLevels, ...]
    time_base: float
    origin_pts: int


class SplitFinished(msgspec.Struct, frozen=True, tag=True):
    """The reply to NextChunk after the last one; `counted_s` is the real duration in seconds."""

    counted_s: float


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The reply to any request that failed; the message does not name the file."""

    message: str
    no_audio: bool = False


Request = Probe | Split | Measure | NextChunk
Reply = Probed | SplitOpened | CutChunk | Measured | SplitFinished | Failed

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
