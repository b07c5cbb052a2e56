"""Results as they are stored, and out of every level of the cache and into them.

A chunk's value is JSON. A transcript's is compressed JSON lines: the first is the transcript
without its segments, each further one a segment. Ten hours of words are 7 MB of JSON, of which
every level, its seal and its transaction would make a copy.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.core.models import ChunkSpan, Gap, Segment, Transcript, Transcription
from sttbatch.core.options import RequestOptions
from sttbatch.core.ports import ChunkIndex

T = TypeVar("T")

_FASTEST = 1
_AT_ONCE = 256
"""Segments: a few ten kilobytes."""

_STORED_NAMES = {"transcription": "heard"}
"""As version 0.1 wrote them."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Transcript)
_segment_decoder = msgspec.json.Decoder(Segment)


class StoredChunk(msgspec.Struct, frozen=True, rename=_STORED_NAMES):
    """An answer, in the upload's time, and the formats of its request."""

    transcription: Transcription
    upload_codec: str
    response_format: str


class StoredAudit(msgspec.Struct, frozen=True, rename=_STORED_NAMES):
    """An answer after gap repair, in the upload's time, and the seconds of audio sent for that."""

    transcription: Transcription
    gaps: tuple[Gap, ...]
    asked_s: float


def decoded(data: bytes, kind: type[T]) -> T | None:
    """A stored value; None where another version wrote something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True, slots=True)
class ResultCache:
    """What is derived from paid results, and transcripts; every write is on disk when it returns.

    `file_sha256` is the recording that a result is for.

    Raises:
        StateError: from every method, where the authority cannot be read or written.
    """

    cache: MultiLevelCache
    options: RequestOptions

    async def audit(self, key: str, file_sha256: str) -> StoredAudit | None:
        """What an earlier repair of a chunk's gaps came to."""
        hit = await self.cache.get(key, file_sha256)
        return decoded(hit.value, StoredAudit) if hit is not None else None

    async def store(self, key: str, value: StoredChunk | StoredAudit, file_sha256: str) -> None:
        """Store what was made of answers whose requests are booked."""
        await self.cache.put(key, msgspec.json.encode(value), self.options.model, file_sha256)

    async def transcript(self, key: str) -> tuple[Transcript, str] | None:
        """A stored transcript and the level that had it."""
        hit = await self.cache.get(key)
        if hit is None:
            return None
        transcript = await asyncio.to_thread(decode_transcript, hit.value)
        return None if transcript is None else (transcript, hit.level)

    async def store_transcript(self, key: str, transcript: Transcript, file_sha256: str) -> None:
        data = await asyncio.to_thread(encode_transcript, transcript)
        await self.cache.put(key, data, self.options.model, file_sha256)


@dataclass(frozen=True, slots=True)
class StoredSpan:
    """A span of a recording, and its stored answer."""

    span: ChunkSpan
    chunk_key: str
    value: StoredChunk


async def stored_spans(
    index: ChunkIndex, file_sha256: str, stream: int, request_sha256: str
) -> tuple[StoredSpan, ...]:
    """Those of a recording that have an answer: in order, none overlapping another."""
    return _disjoint(
        [
            StoredSpan(result.span, result.chunk_key, value)
            for result in await index.results(file_sha256, stream, request_sha256)
            if (value := decoded(result.data, StoredChunk)) is not None
        ]
    )


def _disjoint(spans: Sequence[StoredSpan]) -> tuple[StoredSpan, ...]:
    """The choice of spans that do not overlap and together cover the most.

    Weighted interval scheduling: runs with other chunk lengths may have left several ways to
    cover the same recording.
    """
    ordered = sorted(spans, key=lambda stored: stored.span.end.pts)
    ends = [stored.span.end.pts for stored in ordered]
    # The most that the first so many can cover, and how many come before the last one chosen.
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
    """None where another version wrote something else; the oldest values are one JSON object."""
    try:
        if data.startswith(b"{"):
            return _decoder.decode(data)
        first, _, rest = zlib.decompress(data).partition(b"\n")
        segments = tuple(_segment_decoder.decode_lines(rest))
        return replace(_decoder.decode(first), segments=segments)
    except (msgspec.DecodeError, zlib.error):
        return None
