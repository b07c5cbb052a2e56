"""NetworkBackend and NetworkStream: what httpcore reads from and writes to.

Writes are coalesced: httpcore writes every HTTP/2 frame of 16 KiB separately, each with a lock, a
timeout and a TLS record, which takes half of the CPU time of an upload.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import ssl
from typing import Any

import httpcore
import httpx

CONNECT_TIMEOUT_S = 10.0

COALESCE_BYTES = 64 * 1024
"""The block size of httpx's multipart body, so that stalled uploads are still noticed in time."""

_CLOSED = getattr(select, "POLLRDHUP", select.POLLHUP)
"""The peer sends no more; where this is no event of its own, it is POLLHUP."""


class NetworkStream(httpcore.AsyncNetworkStream):
    """Buffers writes until `COALESCE_BYTES` are there, or the next read.

    `secured` is the same stream if its TLS handshake is already done.
    """

    def __init__(
        self, stream: httpcore.AsyncNetworkStream, secured: NetworkStream | None = None
    ) -> None:
        self._stream = stream
        self._secured = secured
        self._buffered = bytearray()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        await self._flush(None)
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._buffered += buffer
        if len(self._buffered) >= COALESCE_BYTES:
            await self._flush(timeout)

    async def aclose(self) -> None:
        await (self._secured or self._stream).aclose()

    async def start_tls(self, *args: Any, **options: Any) -> NetworkStream:
        if self._secured is not None:
            return self._secured
        await self._flush(None)
        return NetworkStream(await self._stream.start_tls(*args, **options))

    @property
    def is_closed(self) -> bool:
        """Whether the peer has closed it; something to read may also be its greeting."""
        descriptor = self.get_extra_info("socket").fileno()
        if descriptor < 0:
            return True
        closed = select.poll()
        closed.register(descriptor, _CLOSED)
        return bool(closed.poll(0))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def _flush(self, timeout_s: float | None) -> None:
        if self._buffered:
            data = bytes(self._buffered)
            self._buffered.clear()
            await self._stream.write(data, timeout_s)


class NetworkBackend(httpcore.AsyncNetworkBackend):
    """Opens streams that coalesce writes, the first one in advance if that is asked for."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend
        self._ahead: asyncio.Task[NetworkStream] | None = None

    def open_ahead(self, url: httpx.URL, context: ssl.SSLContext, *, http2: bool) -> None:
        """Begin to connect to the host of `url`, TLS and all, as its first request will."""
        self._ahead = asyncio.create_task(self._opened(url, context, http2=http2))

    async def _opened(
        self, url: httpx.URL, context: ssl.SSLContext, *, http2: bool
    ) -> NetworkStream:
        host, is_tls = url.raw_host.decode("ascii"), url.scheme == "https"
        port = url.port or (443 if is_tls else 80)
        stream = await self._backend.connect_tcp(host, port, timeout=CONNECT_TIMEOUT_S)
        if not is_tls:
            return NetworkStream(stream)
        context.set_alpn_protocols(["http/1.1", "h2"] if http2 else ["http/1.1"])
        secured = await stream.start_tls(context, host, timeout=CONNECT_TIMEOUT_S)
        return NetworkStream(stream, NetworkStream(secured))

    @property
    def is_open_ahead(self) -> bool:
        """A stream was opened in advance, and is not used yet."""
        return self._opened_ahead is not None

    @property
    def is_closed_ahead(self) -> bool:
        """The server has closed that stream."""
        return self._opened_ahead is not None and self._opened_ahead.is_closed

    @property
    def _opened_ahead(self) -> NetworkStream | None:
        ahead = self._ahead
        if ahead is None or not ahead.done() or ahead.cancelled() or ahead.exception():
            return None
        return ahead.result()

    async def connect_tcp(self, *args: Any, **options: Any) -> NetworkStream:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            # What failed is tried again, so that the request tells of it, but not what took long.
            with contextlib.suppress(httpcore.ConnectError):
                return await ahead
        return NetworkStream(await self._backend.connect_tcp(*args, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)

    async def aclose(self) -> None:
        """Close what was opened in advance, and not used."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.cancel()
            (stream,) = await asyncio.gather(ahead, return_exceptions=True)
            if isinstance(stream, NetworkStream):
                await stream.aclose()


def coalesce(client: httpx.AsyncClient) -> NetworkBackend | None:
    """Make the future connections of `client` write fewer, larger blocks.

    Returns what opens them; None: it may use a proxy.
    """
    direct = None
    # httpx has no argument for this that also keeps its proxies, so this patches httpx 0.28.
    for transport in (*client._mounts.values(), client._transport):  # noqa: SLF001
        if isinstance(transport, httpx.AsyncHTTPTransport):
            pool: Any = transport._pool  # noqa: SLF001
            pool._network_backend = direct = NetworkBackend(pool._network_backend)  # noqa: SLF001
    return None if client._mounts else direct  # noqa: SLF001
