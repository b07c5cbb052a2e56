"""A chunk's value as it is stored: JSON."""

from __future__ import annotations

import msgspec

from sttbatch.core.models import Transcription


class StoredChunk(msgspec.Struct, frozen=True):
    """What was heard, in the upload's time, and how it was asked for."""

    heard: Transcription
    upload_codec: str
    response_format: str


_decoder = msgspec.json.Decoder(StoredChunk)


def decode_chunk(data: bytes) -> StoredChunk | None:
    """None where another version wrote something else."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None
