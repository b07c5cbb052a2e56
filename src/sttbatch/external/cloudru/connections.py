"""ConnectionPool: connections with one request in flight on each.

On a shared HTTP/2 connection an upload stalls while another stream waits for its response, a
timeout leaks its stream, and a GOAWAY hits all requests; so each lane has its own connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
import time
from dataclasses import dataclass

import httpx

from sttbatch.core.errors import UsageError
from sttbatch.core.events import ConnectionsClosed, Emit
from sttbatch.external.bounded_body import ENCODINGS
from sttbatch.external.cloudru.network_streams import CONNECT_TIMEOUT_S, NetworkBackend, coalesce
from sttbatch.external.tls import ssl_context

CERTIFICATES_S = 86_400.0
"""Seconds until the authorities' certificates are loaded again."""

WRITE_TIMEOUT_S = 60.0
"""Timeout of one write of at most 64 KiB; a line slower than 1 KiB/s counts as lost."""

IDLE_S = 30.0
"""Connections idle for longer are not reused, as gateways close them after a minute or so."""

UNUSED_S = 5.0
"""As `IDLE_S`, of connections that were opened in advance: some wait ten seconds for a request."""

REQUESTS_A_CONNECTION = 90
"""Gateways close a connection after a number of requests, nginx after 1000, before 1.19.10 after
100 (keepalive_requests); ours are closed earlier, so that no upload is interrupted."""

CLOSE_TIMEOUT_S = 2.0
FAULTS_TO_HTTP1 = 3
"""HTTP/1.1 is used after HTTP/2 has failed on so many connections in a row."""

HTTP1_FOR_S = 600.0
"""Seconds until HTTP/2 is tried again, as a process may live for months."""


@dataclass(slots=True, eq=False)
class Connection:
    """A client with at most one connection.

    Attributes:
        http2: whether it is offered to the server.
        number: counted from 1 in the order in which connections are opened.
        backend: can open it in advance; None: it may need a proxy.
        idle_since: in seconds of the monotonic clock.
    """

    client: httpx.AsyncClient
    http2: bool
    number: int
    backend: NetworkBackend | None = None
    idle_since: float = 0.0
    served: int = 0

    @property
    def is_open_ahead(self) -> bool:
        """It was opened in advance, and waits for its first request."""
        return self.backend is not None and self.backend.is_open_ahead

    @property
    def is_stale(self) -> bool:
        """It is not used any more: it was idle for too long, or the server closed it."""
        idle_s = IDLE_S if self.served else UNUSED_S
        is_closed = self.backend is not None and self.backend.is_closed_ahead
        return is_closed or self.idle_since + idle_s < time.monotonic()


class ConnectionPool:
    """Opens connections on demand, and replaces them after faults or long use.

    At its end it emits `ConnectionsClosed`.

    Args:
        direct: never use a proxy. One between two programs of this machine would receive the key,
            unencrypted over plain HTTP.
    """

    def __init__(
        self, user_agent: str, emit: Emit = lambda _: None, *, direct: bool = False
    ) -> None:
        self._emit = emit
        self._direct = direct
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": ENCODINGS}
        self._idle: list[Connection] = []
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._contexts: dict[bool, tuple[float, asyncio.Task[ssl.SSLContext]]] = {}
        self._http2_faults = 0
        self._newest_at_fault = 0
        self._http2_from = 0.0
        self.opened = 0
        self.reused = 0
        self.replaced = 0

    @property
    def http2(self) -> bool:
        """Whether HTTP/2 is offered; not for ten minutes after repeated faults."""
        return time.monotonic() >= self._http2_from

    async def prepare(self) -> None:
        """Load the certificates in advance; raises UsageError as `ssl_context`."""
        await self._context(self.http2)

    def open_ahead(self, url: str, count: int) -> None:
        """Open connections in the background, so that there will have been `count` in all.

        The requests tell of what fails.
        """
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_ahead(url, count))

    async def _open_ahead(self, url: str, count: int) -> None:
        with contextlib.suppress(UsageError, httpx.InvalidURL):
            address = httpx.URL(url)
            http2 = self.http2
            context = await self._context(http2)
            while self.opened < count:
                connection = self._opened(context, http2=http2)
                if connection.backend is not None:
                    connection.backend.open_ahead(address, context, http2=http2)
                connection.idle_since = time.monotonic()
                self._idle.append(connection)

    async def take(self, *, http1: bool = False, fresh: bool = False) -> Connection:
        """Take a connection out of the pool; `http1` offers no HTTP/2, `fresh` opens a new one.

        Raises UsageError if SSL_CERT_FILE or a proxy variable is invalid.
        """
        http2 = self.http2 and not http1
        for connection in [idle for idle in self._idle if idle.is_stale]:
            self._idle.remove(connection)
            self._close(connection)
        for connection in reversed(self._idle):
            if connection.http2 == http2 and not fresh:
                self._idle.remove(connection)
                self.reused += connection.served > 0
                return connection
        return self._opened(await self._context(http2), http2=http2)

    def _opened(self, context: ssl.SSLContext, *, http2: bool) -> Connection:
        client = self._client(context, http2=http2)
        self.opened += 1
        return Connection(client, http2, self.opened, coalesce(client))

    def give_back(self, connection: Connection, http_version: str) -> None:
        """Return a connection to the pool after a request."""
        if http_version == "HTTP/2":
            self._http2_faults = 0
        connection.served += 1
        if connection.served >= REQUESTS_A_CONNECTION:
            self.retire(connection)
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def retire(self, connection: Connection, *, http2_failed: bool = False) -> bool:
        """Close a connection; True: HTTP/2 has failed too often and is not offered any more."""
        self.replaced += 1
        self._close(connection)
        # Concurrent connections often fail together, so only one fault of them counts.
        if not (http2_failed and self.http2) or connection.number <= self._newest_at_fault:
            return False
        self._newest_at_fault = self.opened
        self._http2_faults += 1
        if self._http2_faults < FAULTS_TO_HTTP1:
            return False
        self._http2_faults = 0
        self._http2_from = time.monotonic() + HTTP1_FOR_S
        return True

    async def aclose(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        while self._idle:
            self._close(self._idle.pop())
        await asyncio.gather(*self._closing)
        if self.opened:
            self._emit(ConnectionsClosed("", self.opened, self.reused, self.replaced))

    def _close(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(_closed(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _context(self, http2: bool) -> ssl.SSLContext:
        # Loading certificates takes 40 ms, so it is done once a day; ALPN is part of the context,
        # so each protocol has its own.
        now = time.monotonic()
        loaded_at, loading = self._contexts.get(http2, (-math.inf, None))
        if loading is None or now - loaded_at > CERTIFICATES_S or _has_failed(loading):
            loading = asyncio.create_task(asyncio.to_thread(ssl_context))
            self._contexts[http2] = (now, loading)
        # Shielded, as other lanes wait for it too.
        return await asyncio.shield(loading)

    def _client(self, context: ssl.SSLContext, *, http2: bool) -> httpx.AsyncClient:
        try:
            return httpx.AsyncClient(
                http2=http2,
                verify=context,
                headers=self._headers,
                limits=httpx.Limits(
                    max_connections=1, max_keepalive_connections=1, keepalive_expiry=None
                ),
                # `HttpAttempt` has a deadline for the response; httpx's restarts with each read.
                timeout=httpx.Timeout(
                    connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S, read=None, pool=None
                ),
                follow_redirects=False,
                trust_env=not self._direct,
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise UsageError(
                f"a proxy variable (HTTPS_PROXY, ALL_PROXY) is invalid: {error}"
            ) from error


def _has_failed(task: asyncio.Task[ssl.SSLContext]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


async def _closed(connection: Connection) -> None:
    # A peer that is gone does not answer a TLS shutdown.
    with contextlib.suppress(TimeoutError, httpx.HTTPError, OSError, RuntimeError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            try:
                await connection.client.aclose()
            finally:
                if connection.backend is not None:
                    await connection.backend.aclose()
