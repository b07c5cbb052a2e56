"""The stored form of a value in L2: its checksum, the time at which it expires, its bytes."""

from __future__ import annotations

import hashlib
import struct

from sttbatch.core.cache_entries import CacheValue, checksum

MAX_TTL_S = 24 * 3600.0
"""The longest that L2 keeps a value."""

_EXPIRES = struct.Struct(">d")
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def encoded(key: str, value: CacheValue) -> bytes:
    """The stored form of a value that expires."""
    body = _EXPIRES.pack(value.expires_at) + value.data
    return checksum(key, body) + body


def decoded(key: str, stored: object) -> CacheValue | None:
    """The value; None: `stored` is damaged, of another key or of another program."""
    if not isinstance(stored, bytes) or len(stored) < _CHECKSUM_BYTES + _EXPIRES.size:
        return None
    body = stored[_CHECKSUM_BYTES:]
    if checksum(key, body) != stored[:_CHECKSUM_BYTES]:
        return None
    return CacheValue(body[_EXPIRES.size :], _EXPIRES.unpack_from(body)[0])
