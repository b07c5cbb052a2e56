"""Coalesced writes: frames of an upload that are sent together.

httpcore writes every HTTP/2 frame of 16 KiB by itself, through a lock, a timeout and a TLS record
of its own: half of what an upload costs.
"""

from __future__ import annotations

from typing import Any

import httpcore
import httpx

COALESCE_BYTES = 64 * 1024
"""The size of a block of httpx's multipart body, so a stalled upload is noticed as before."""


class _Stream(httpcore.AsyncNetworkStream):
    """Buffers writes until there is enough to send, or something is to be read."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._buffered = bytearray()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self._flush(None)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._buffered += buffer
        if len(self._buffered) >= COALESCE_BYTES:
            await self._flush(timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        await self._flush(None)
        return _Stream(await self._stream.start_tls(*args, **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def _flush(self, timeout_s: float | None) -> None:
        if self._buffered:
            data = bytes(self._buffered)
            self._buffered.clear()
            await self._stream.write(data, timeout_s)


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def coalesce(client: httpx.AsyncClient) -> None:
    """Make the connections that `client` will open write fewer, larger pieces."""
    # No argument of httpx does this and keeps its proxies, so this reaches into httpx 0.28.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.AsyncHTTPTransport):
            pool: Any = transport._pool  # noqa: SLF001
            pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001
