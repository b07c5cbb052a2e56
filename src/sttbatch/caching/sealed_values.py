"""The stored form of a value in L2: its seal, the time at which it expires, its bytes."""

from __future__ import annotations

import hashlib
import struct

from sttbatch.core.cache_entries import CacheValue, seal

MAX_TTL_S = 24 * 3600.0
"""The longest that L2 keeps a value."""

_EXPIRES = struct.Struct(">d")
_SEAL_BYTES = hashlib.sha256().digest_size


def sealed(key: str, value: CacheValue) -> bytes:
    """The stored form of a value that expires."""
    body = _EXPIRES.pack(value.expires_at) + value.data
    return seal(key, body) + body


def unsealed(key: str, stored: object) -> CacheValue | None:
    """The value; None: `stored` is damaged, of another key or of another program."""
    if not isinstance(stored, bytes) or len(stored) < _SEAL_BYTES + _EXPIRES.size:
        return None
    body = stored[_SEAL_BYTES:]
    if seal(key, body) != stored[:_SEAL_BYTES]:
        return None
    return CacheValue(body[_EXPIRES.size :], _EXPIRES.unpack_from(body)[0])
