"""The test endpoint as a server: sockets, TLS, its thread, outages."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from .exchange import ConnectionRules
from .http1 import Http1Connection
from .http2 import Http2Connection
from .log import Received
from .service import Service

# A client that was told that TLS ends is given this long to say the same.
_TLS_GOODBYE_S = 0.2
_HANDSHAKE_S = 2.0


@cache
def _authority() -> trustme.CA:
    """One for the process: making keys takes longer than most tests."""
    return trustme.CA()


@dataclass(kw_only=True, eq=False)
class CloudRu(Service):
    """Cloud.ru's speech-to-text endpoint on a free port of 127.0.0.1, for the length of a `with`.

    Runs on a thread and an event loop of its own, so tests may block. Beside what `Service` can be
    told, and all of it while the endpoint runs:

    `tls` and `http_versions` ("h2", "http/1.1") are what it speaks; without TLS always HTTP/1.1.
    `close_idle_s` closes connections on which nothing followed a request for so long, and
    `max_requests_per_connection` ends them after so many, with GOAWAY as nginx does.
    `stream_window_bytes` is how much of a body a client may send before the endpoint has read it.
    """

    tls: bool = True
    http_versions: tuple[str, ...] = ("h2", "http/1.1")
    close_idle_s: float | None = None
    max_requests_per_connection: int | None = None
    stream_window_bytes: int = 1024 * 1024
    port: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloudru", daemon=True)
        self._folder = tempfile.TemporaryDirectory(prefix="cloudru-")
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.ca_file = Path(self._folder.name, "ca.pem")

    def __enter__(self) -> Self:
        _authority().cert_pem.write_to_path(str(self.ca_file))
        self._thread.start()
        self.come_back()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_away()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._recognisers.shutdown(cancel_futures=True)
        self._folder.cleanup()

    @property
    def base_url(self) -> str:
        """Ends in /v1, without a slash."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def received(self) -> list[Received]:
        """Every POST so far, in order of arrival."""
        return self.log.records

    @property
    def connections_opened(self) -> int:
        """TCP connections (with TLS: completed handshakes) since the beginning."""
        return self.log.connections_opened

    @property
    def max_in_flight(self) -> int:
        """The most POSTs that were open at the same time."""
        return self.log.max_in_flight

    @property
    def errors(self) -> list[str]:
        """Tracebacks of the endpoint's own mistakes; a test should find none."""
        return self.log.errors

    def go_away(self) -> None:
        """Stop listening and break off every connection, until `come_back`."""
        self._call(self._close())

    def come_back(self) -> None:
        """Listen (again) on the same port."""
        self._call(self._listen())

    def hold(self) -> None:
        """Give no transcript until `resume`: what is in flight stays so."""
        self._loop.call_soon_threadsafe(self._answering.clear)

    def resume(self) -> None:
        """Answer what `hold` kept waiting, and all that comes."""
        self._loop.call_soon_threadsafe(self._answering.set)

    def wait_for(self, predicate: Callable[[CloudRu], bool], timeout_s: float = 60.0) -> None:
        """Block until `predicate(self)` holds. It is looked at after each event, not by the clock.

        Raises:
            TimeoutError: it did not come to hold within `timeout_s`.
        """
        if not self.log.wait_for(lambda: predicate(self), timeout_s):
            posts = self.received
            newest = f", the last one {posts[-1]}" if posts else ""
            raise TimeoutError(f"not within {timeout_s} s; {len(posts)} posts so far{newest}")

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        if self._server is not None:
            return
        tls = self._tls_context() if self.tls else None
        self._server = await asyncio.start_server(
            self._connected,
            "127.0.0.1",
            self.port,
            ssl=tls,
            ssl_shutdown_timeout=_TLS_GOODBYE_S if tls else None,
            limit=1024 * 1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(list(self.http_versions))
        _certificate().configure_cert(context)
        return context

    async def _close(self) -> None:
        if self._server is None:
            return
        # Begun before, as Python 3.11 waits for nothing once it is closed.
        closed = asyncio.create_task(self._server.wait_closed())
        await asyncio.sleep(0)
        self._server.close()
        self._server = None
        connections = dict(self._connections)
        for writer in connections.values():
            writer.transport.abort()
        if connections:
            await asyncio.wait(connections)
        # A connection that is still shaking hands has no writer yet, and its client may be gone.
        with suppress(TimeoutError):
            await asyncio.wait_for(closed, _HANDSHAKE_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        number = self.log.connection_opened()
        rules = ConnectionRules(
            max_body_bytes=self.max_body_bytes,
            stream_window_bytes=self.stream_window_bytes,
            max_requests=self.max_requests_per_connection,
            idle_s=self.close_idle_s,
        )
        tls = writer.get_extra_info("ssl_object")
        speaks = tls.selected_alpn_protocol() if tls is not None else None
        try:
            if speaks == "h2":
                await Http2Connection(number, reader, writer, self.handle, rules).run()
            elif not self.tls or "http/1.1" in self.http_versions:
                await Http1Connection(number, reader, writer, self.handle, rules).run()
        except OSError:
            pass  # the client broke off, or we did
        finally:
            self.log.connection_closed()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            del self._connections[task]


@cache
def _certificate() -> trustme.LeafCert:
    return _authority().issue_cert("127.0.0.1", "localhost")
