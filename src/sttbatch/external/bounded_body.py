"""Reads the bodies of responses as streams, up to a maximum size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx
from msgspec import Struct

ENCODINGS = "gzip"
"""The `Accept-Encoding` of requests; httpx's own decoders have no size limit."""

_ENCODED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_MAX_LAYERS = 2
"""A header may name thousands of encodings, and each decoder takes tens of kilobytes."""


class Body(Struct, frozen=True):
    """A decoded body, or its beginning.

    Attributes:
        data: decoded bytes, up to the maximum size.
        too_large: the body is longer.
        damage: why it could not be decoded to its end; empty if it could.
    """

    data: bytes
    too_large: bool = False
    damage: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.too_large and not self.damage


class _TooLarge(Exception):
    """A layer decodes to more than the maximum size."""


async def read_body(response: httpx.Response, max_bytes: int) -> Body:
    """Read a streamed response up to its end or to `max_bytes`, encoded and decoded.

    Raises the errors of httpx if the connection is lost.
    """
    data = bytearray()
    try:
        layers = list(_layers(response.headers.get("content-encoding", ""), max_bytes))
        left = max_bytes
        async for piece in response.aiter_raw():
            left -= len(piece)
            for layer in layers:
                piece = layer.decoded(piece)  # noqa: PLW2901 - what one layer gives the next takes
            data += piece
            if left < 0 or len(data) > max_bytes:
                return Body(bytes(data[:max_bytes]), too_large=True)
    except _TooLarge:
        return Body(bytes(data), too_large=True)
    except (zlib.error, ValueError) as error:
        return Body(bytes(data), damage=f"its encoding cannot be read: {error}")
    return Body(bytes(data))


class _Layer:
    """One layer of gzip or zlib."""

    def __init__(self, max_bytes: int) -> None:
        self._decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._left = max_bytes

    def decoded(self, data: bytes) -> bytes:
        out = self._decoder.decompress(data, self._left + 1)
        self._left -= len(out)
        if self._left < 0:
            raise _TooLarge
        return out


def _layers(header: str, max_bytes: int) -> Iterator[_Layer]:
    """The decoders of a Content-Encoding, the outermost first."""
    names = [name.strip().lower() for name in header.split(",")]
    names = [name for name in names if name and name != "identity"]
    if len(names) > _MAX_LAYERS or not _ENCODED.issuperset(names):
        raise ValueError(f"it is not one of {', '.join(sorted(_ENCODED))}")
    for _ in names:
        yield _Layer(max_bytes)
