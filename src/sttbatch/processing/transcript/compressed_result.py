"""What became of a chunk, kept small until all of its recording is there to be merged."""

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
    """A `ChunkOutcome` whose words are unpacked each time they are asked for.

    As objects a word takes 170 bytes, and ten hours have a hundred thousand; packed, about ten.
    """

    span: ChunkSpan
    packed: bytes | None
    cached: bool
    gap: GapReason | None
    detail: str
    gaps: tuple[Gap, ...]

    @property
    def heard(self) -> Transcription | None:
        return None if self.packed is None else _decoder.decode(zlib.decompress(self.packed))


def packed(outcome: ChunkOutcome) -> CompressedResult:
    heard = outcome.heard
    return CompressedResult(
        outcome.span,
        None if heard is None else zlib.compress(msgspec.msgpack.encode(heard), _FASTEST),
        outcome.cached,
        outcome.gap,
        outcome.detail,
        outcome.gaps,
    )
