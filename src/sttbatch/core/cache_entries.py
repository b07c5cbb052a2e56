"""Entries of the result cache, as every level and the ledger know them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sttbatch.core.models import ChunkSpan


@dataclass(frozen=True, slots=True)
class CacheValue:
    """Bytes, and the time in seconds since the epoch at which they expire; None: never."""

    data: bytes
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    def at_most(self, expires_at: float) -> CacheValue:
        """The same value, expiring at `expires_at` unless it does so earlier."""
        if self.expires_at is not None and self.expires_at <= expires_at:
            return self
        return CacheValue(self.data, expires_at)


@dataclass(frozen=True, slots=True)
class EntryMetadata:
    """What is stored with a value.

    Attributes:
        audio_s: seconds of audio that the value covers.
        file_sha256: the recording that it was made of.
    """

    engine: str
    model: str
    audio_s: float
    file_sha256: str


@dataclass(frozen=True, slots=True)
class AccessCount:
    """How often an entry was read since its reads were counted last."""

    key: str
    reads: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LevelUsage:
    """What a level holds; times are seconds since the epoch, None when it is empty.

    Attributes:
        disk_bytes: size of its files, None where there are none.
    """

    entries: int = 0
    size_bytes: int = 0
    oldest_at: float | None = None
    newest_at: float | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """A stored value after its hash was computed again; `row` finds it under a damaged key too."""

    key: str
    row: int
    is_sound: bool


@dataclass(frozen=True, slots=True)
class IndexedResult:
    """A span of a recording and the stored value of its chunk; its index in a job is not known."""

    span: ChunkSpan
    chunk_key: str
    data: bytes


def seal(key: str, data: bytes) -> bytes:
    """SHA-256 over key and value: a value under a wrong key is as invalid as a damaged one."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass") + b"\0" + data).digest()
