"""A chunk's value as it is stored: JSON."""

from __future__ import annotations

import msgspec

from sttbatch.core.models import Gap, Transcription


class StoredChunk(msgspec.Struct, frozen=True):
    """What was heard, in the upload's time, and how it was asked for."""

    heard: Transcription
    upload_codec: str
    response_format: str


class StoredAudit(msgspec.Struct, frozen=True):
    """What the audit made of an answer, in the upload's time, and how much audio it asked for."""

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
