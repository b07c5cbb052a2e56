"""Messages between sttbatch and its media workers: length-prefixed msgpack over pipes."""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec
from msgspec import Struct

from sttbatch.core.models import MIXED, AudioChunk, AudioFile, CutPoint, UploadCodec
from sttbatch.processing.media.loudness import LoudnessLevels, Span

LENGTH = struct.Struct("<I")

SPOOL_BYTES = 1 << 20
"""Larger chunks pass through a temporary file instead of the pipe, to save memory."""


class Source(Struct, frozen=True):
    """The source to cut or measure: a file that must not change, or the bytes of an earlier upload.

    `state` is the file's size in bytes, mtime in nanoseconds and inode.
    """

    size_bytes: int
    stream: int = 0
    path: bytes | None = None
    data: bytes | None = None
    state: tuple[int, int, int] | None = None


class SplitPlan(Struct, frozen=True):
    """How to cut one recording.

    Attributes:
        declared_s: the container's duration, used until the real end is read; 0: unknown.
        max_piece_s: the maximum duration of a chunk; None: only its size is limited.
        kept: spans, in order and disjoint, that are already transcribed.
        channel: the one to cut, counted from 1; `MIXED`: all of them together.
        exact: spans, in order, disjoint and not in `kept`, that are cut as a whole whatever the
            limits.
        only_exact: cut nothing but these, and to the sample.
        vad: a chunk without speech is silent; else one without sound is.
        is_plain_wav: it was found, when it was probed, to hold the samples that its header says,
            and is not searched for compressed audio again.
    """

    target_s: float
    max_bytes: int
    codec: UploadCodec
    declared_s: float = 0.0
    max_piece_s: float | None = None
    kept: tuple[tuple[CutPoint, CutPoint], ...] = ()
    channel: int = MIXED
    exact: tuple[tuple[CutPoint, CutPoint], ...] = ()
    only_exact: bool = False
    vad: bool = True
    is_plain_wav: bool = False


class Probe(Struct, frozen=True, tag=True):
    """Request to read the headers of files, as in `Source.path`; no `stream`: choose one."""

    paths: tuple[bytes, ...]
    stream: int | None


class Split(Struct, frozen=True, tag=True):
    """Request to begin to cut, and for the first chunk."""

    plan: SplitPlan
    source: Source
    spool: str


class Measure(Struct, frozen=True, tag=True):
    """Request to measure spans, in order and disjoint, and to look for speech `within` others."""

    spans: tuple[Span, ...]
    source: Source
    within: tuple[Span, ...] = ()


class NextChunk(Struct, frozen=True, tag=True):
    """Request to cut the next chunk."""


class Failed(Struct, frozen=True, tag=True):
    """The reply to any request that failed; the message does not name the file."""

    message: str
    no_audio: bool = False
    hindered: bool = False


class Probed(Struct, frozen=True, tag=True):
    """The headers of a file."""

    file: AudioFile


class ProbedAll(Struct, frozen=True, tag=True):
    """The reply to Probe: of each file, in their order."""

    files: tuple[Probed | Failed, ...]


class CutChunk(Struct, frozen=True, tag=True):
    """The reply to Split and NextChunk; the last chunk has `counted_s`, as in SplitFinished."""

    chunk: AudioChunk
    counted_s: float | None = None


class Voice(NamedTuple):
    """Speech on one channel.

    `channel` is its number if louder channels may drown it in the mix, else `MIXED`.
    """

    span: Span
    channel: int


class Measured(Struct, frozen=True, tag=True):
    """The reply to Measure; the time base and origin convert seconds to timestamps."""

    levels: tuple[LoudnessLevels, ...]
    voices: tuple[Voice, ...]
    time_base: float
    origin_pts: int


class SplitFinished(Struct, frozen=True, tag=True):
    """No chunk is left; `counted_s` is the real duration in seconds."""

    counted_s: float


Request = Probe | Split | Measure | NextChunk
Reply = ProbedAll | CutChunk | Measured | SplitFinished | Failed

encoder = msgspec.msgpack.Encoder()
request_decoder = msgspec.msgpack.Decoder(Request)
reply_decoder = msgspec.msgpack.Decoder(Reply)
