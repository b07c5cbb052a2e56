"""A chunk's value as it is stored: JSON."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from sttbatch.core.models import Gap, Transcription

T = TypeVar("T")


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


def decoded(data: bytes, kind: type[T]) -> T | None:
    """A stored value; None where another version wrote something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        return None
