"""A pool of connections, one request in flight on each.

On one HTTP/2 connection an upload stands still while another stream waits for its answer, a
timeout leaks its stream, and a GOAWAY hits everything in flight; so each lane has its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

import httpx

CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 60.0
"""For one write of at most 64 KiB; a slower line than 1 KiB/s is a lost connection."""

CLOSE_TIMEOUT_S = 2.0
FAULTS_TO_HTTP1 = 3
"""Connections in a row on which HTTP/2 failed before the run goes on over HTTP/1.1."""


@dataclass(slots=True, eq=False)
class Connection:
    """One client that holds at most one connection.

    Attributes:
        http2: whether it was offered; `spoken` is what the other side chose, once it answered.
        number: connections are counted from 1 in the order of their opening.
        requests: answered on it so far.
    """

    client: httpx.AsyncClient
    http2: bool
    number: int
    spoken: str = ""
    requests: int = 0

    @property
    def was_idle(self) -> bool:
        return self.requests > 0


class ConnectionPool:
    """Connections are opened when first needed, reused, and replaced after faults.

    Attributes:
        opened, reused, replaced: how often each happened.
    """

    def __init__(self, user_agent: str) -> None:
        self._headers = {"User-Agent": user_agent}
        self._idle: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._http2_faults = 0
        self._newest_at_fault = 0
        self.http2 = True
        self.opened = 0
        self.reused = 0
        self.replaced = 0

    async def take(self, *, http1: bool = False) -> Connection:
        """A connection of its own; HTTP/1.1 on request, or after HTTP/2 has failed too often."""
        http2 = self.http2 and not http1
        for connection in reversed(self._idle):
            if connection.http2 == http2:
                self._idle.remove(connection)
                self.reused += 1
                return connection
        self.opened += 1
        number = self.opened
        return Connection(await self._client(http2=http2), http2, number)

    def give_back(self, connection: Connection, http_version: str) -> None:
        """It served a request and may serve another."""
        connection.requests += 1
        connection.spoken = http_version
        if connection.http2:
            self._http2_faults = 0
        self._idle.append(connection)

    def retire(self, connection: Connection, *, faulty: bool = True) -> bool:
        """Never use it again. True: HTTP/2 failed once too often and is given up."""
        self.replaced += 1
        task = asyncio.get_running_loop().create_task(_close(connection.client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        if not (faulty and connection.http2 and self.http2) or connection.spoken == "HTTP/1.1":
            return False
        # Connections that were open side by side fall together; in a row means one after another.
        if connection.number <= self._newest_at_fault:
            return False
        self._newest_at_fault = self.opened
        self._http2_faults += 1
        if self._http2_faults < FAULTS_TO_HTTP1:
            return False
        self.http2 = False
        return True

    async def aclose(self) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*self._closing, *(_close(each.client) for each in idle))

    async def _client(self, *, http2: bool) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            http2=http2,
            verify=await self._context(http2=http2),
            headers=self._headers,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            # Reading has a deadline of ours: httpx's own is a timer for idle connections.
            timeout=httpx.Timeout(
                connect=CONNECT_TIMEOUT_S, write=WRITE_TIMEOUT_S, read=None, pool=None
            ),
            follow_redirects=False,
        )

    async def _context(self, *, http2: bool) -> ssl.SSLContext:
        # Loading certificates takes 40 ms, once; ALPN is written into the context, so the two
        # protocols must not share one.
        if http2 not in self._contexts:
            made = await asyncio.to_thread(httpx.create_ssl_context)
            self._contexts.setdefault(http2, made)
        return self._contexts[http2]


async def _close(client: httpx.AsyncClient) -> None:
    # A peer that is gone answers no TLS shutdown.
    with contextlib.suppress(TimeoutError, httpx.HTTPError, OSError, RuntimeError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.aclose()
