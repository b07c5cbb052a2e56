"""A chunk's outcome, compressed until all chunks of its recording can be merged."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import msgspec

from sttbatch.core.models import ChunkSpan, Gap, GapReason, Transcription
from sttbatch.processing.transcript.result_merger import ChunkOutcome

_FASTEST = 1
_decoder = msgspec.msgpack.Decoder(Transcription)


@dataclass(frozen=True, slots=True)
class CompressedResult:
    """A `ChunkOutcome` whose transcription is decompressed at each access.

    As an object a word takes 170 bytes, and ten hours have a hundred thousand; here about ten.
    """

    span: ChunkSpan
    data: bytes | None
    cached: bool
    gap: GapReason | None
    detail: str
    gaps: tuple[Gap, ...]

    @property
    def transcription(self) -> Transcription | None:
        return None if self.data is None else _decoder.decode(zlib.decompress(self.data))


def compress(outcome: ChunkOutcome) -> CompressedResult:
    transcription = outcome.transcription
    return CompressedResult(
        outcome.span,
        None
        if transcription is None
        else zlib.compress(msgspec.msgpack.encode(transcription), _FASTEST),
        outcome.cached,
        outcome.gap,
        outcome.detail,
        outcome.gaps,
    )
