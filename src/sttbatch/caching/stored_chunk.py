"""A chunk's value as it is stored: JSON."""

from __future__ import annotations

import msgspec

from sttbatch.core.models import Gap, Transcription


class StoredChunk(msgspec.Struct, frozen=True):
    """An answer, in the upload's time, and the formats of its request."""

    heard: Transcription
    upload_codec: str
    response_format: str


class StoredAudit(msgspec.Struct, frozen=True):
    """An answer after gap repair, in the upload's time, and the seconds of audio sent for that."""

    heard: Transcription
    gaps: tuple[Gap, ...]
    asked_s: float


_audit_decoder = msgspec.json.Decoder(StoredAudit)
_decoder = msgspec.json.Decoder(StoredChunk)


def decode_chunk(data: bytes) -> StoredChunk | None:
    """None where another version wrote something else."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None


def decode_audit(data: bytes) -> StoredAudit | None:
    """None where another version wrote something else."""
    try:
        return _audit_decoder.decode(data)
    except msgspec.DecodeError:
        return None
