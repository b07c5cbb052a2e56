"""ResultCache: the stored forms of results, and their reading and writing.

A chunk's value is JSON. A transcript's is compressed JSON lines: the first is the transcript
without its segments, each further one a segment. Uncompressed, ten hours of words are 7 MB, which
every level, checksum and transaction would copy.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.models import (
    ChunkSpan,
    DroppedSegment,
    Gap,
    Segment,
    Transcript,
    Transcription,
)
from sttbatch.core.options import RequestOptions, Task
from sttbatch.core.ports import ChunkIndex
from sttbatch.core.threads import computed

T = TypeVar("T")

_FASTEST = 1
_AT_ONCE = 256
"""Segments that are encoded together: some ten kilobytes."""

_STORED_NAMES = {"transcription": "heard"}
"""Names of version 0.1."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Transcript)
_segment_decoder = msgspec.json.Decoder(Segment)


class StoredChunk(Struct, frozen=True, rename=_STORED_NAMES):
    """A chunk's transcription, in the upload's time, and the formats of its request."""

    transcription: Transcription
    upload_codec: str
    response_format: str


class StoredAudit(Struct, frozen=True, rename=_STORED_NAMES):
    """A transcription after gap repair, in the upload's time; `asked_s` of audio were sent."""

    transcription: Transcription
    gaps: tuple[Gap, ...]
    asked_s: float
    dropped: tuple[DroppedSegment, ...] = ()


def decoded(data: bytes, kind: type[T]) -> T | None:
    """A stored value; None: it is not of that kind."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None


class ResultCache(Struct, frozen=True):
    """Reads and writes results other than paid ones; writes are on the disk when they return.

    Every method raises StateError if the authority cannot be read or written. `on_transcript` is
    called with the key of each transcript that was stored, and the transcript.
    """

    cache: MultiLevelCache
    options: RequestOptions
    on_transcript: Callable[[str, Transcript], None] = lambda key, transcript: None

    async def audit(self, key: str, file_sha256: str) -> StoredAudit | None:
        """The stored result of a chunk's gap repair."""
        hit = await self.cache.get(key, file_sha256)
        return decoded(hit.value, StoredAudit) if hit is not None else None

    async def store(self, key: str, value: StoredChunk | StoredAudit, file_sha256: str) -> None:
        """Store a result that was made of paid answers."""
        await self.cache.put(key, msgspec.json.encode(value), self.options.model, file_sha256)

    async def transcript(self, key: str) -> tuple[Transcript, str] | None:
        """A stored transcript and the level that had it."""
        hit = await self.cache.get(key)
        if hit is None:
            return None
        transcript = await asyncio.to_thread(decode_transcript, hit.value)
        return None if transcript is None else (transcript, hit.level)

    async def missing(self, keys: Sequence[str]) -> set[str]:
        """Those of many keys that no level has; each of the others has to be looked up."""
        return await self.cache.missing(keys)

    async def has_transcript(self, key: str) -> bool:
        """Whether a transcript is stored, without reading it; for those that rarely are."""
        return key in await self.cache.authority.present([key])

    async def store_transcript(self, key: str, transcript: Transcript, file_sha256: str) -> None:
        data = await computed(lambda: encode_transcript(transcript), small=transcript.is_short)
        await self.cache.put(key, data, self.options.model, file_sha256)
        if self.options.task is Task.TRANSCRIBE:
            self.on_transcript(key, transcript)


class StoredSpan(Struct, frozen=True):
    """A span of a recording, and its stored answer."""

    span: ChunkSpan
    chunk_key: str
    value: StoredChunk


async def stored_spans(
    index: ChunkIndex, file_sha256: str, stream: int, request_sha256: str
) -> tuple[StoredSpan, ...]:
    """The spans of a recording that have an answer, in order and without overlaps."""
    return _disjoint(
        [
            StoredSpan(result.span, result.chunk_key, value)
            for result in await index.results(file_sha256, stream, request_sha256)
            if (value := decoded(result.data, StoredChunk)) is not None
        ]
    )


def _disjoint(spans: Sequence[StoredSpan]) -> tuple[StoredSpan, ...]:
    """The spans that together cover the most without overlapping (weighted interval scheduling).

    Runs with different chunk lengths may have stored several ways to cover a recording.
    """
    ordered = sorted(spans, key=lambda stored: stored.span.end.pts)
    ends = [stored.span.end.pts for stored in ordered]
    # By number of spans considered: the most they can cover, and how many precede the last chosen.
    best = [0]
    before_it: list[int | None] = []
    for index, stored in enumerate(ordered):
        before = bisect_right(ends, stored.span.start.pts, 0, index)
        with_it = best[before] + stored.span.end.pts - stored.span.start.pts
        is_better = with_it > best[index]
        best.append(max(with_it, best[index]))
        before_it.append(before if is_better else None)
    chosen = []
    at = len(ordered)
    while at:
        before_last = before_it[at - 1]
        if before_last is None:
            at -= 1
            continue
        chosen.append(ordered[at - 1])
        at = before_last
    return tuple(reversed(chosen))


def encode_transcript(transcript: Transcript) -> bytes:
    compressor = zlib.compressobj(_FASTEST)
    segments = transcript.segments
    parts = [compressor.compress(_encoder.encode_lines([replace(transcript, segments=())]))]
    parts += [
        compressor.compress(_encoder.encode_lines(segments[at : at + _AT_ONCE]))
        for at in range(0, len(segments), _AT_ONCE)
    ]
    return b"".join([*parts, compressor.flush()])


def decode_transcript(data: bytes) -> Transcript | None:
    """A stored transcript, in the oldest form one JSON object; None: it is none."""
    try:
        if data.startswith(b"{"):
            return _decoder.decode(data)
        first, _, rest = zlib.decompress(data).partition(b"\n")
        segments = tuple(_segment_decoder.decode_lines(rest))
        return replace(_decoder.decode(first), segments=segments)
    except (msgspec.DecodeError, zlib.error):
        return None
