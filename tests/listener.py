"""An HTTP server for whatever is posted to somebody else: a gateway, a webhook."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Listener(ThreadingHTTPServer):
    """Remembers what came, and answers with a status and an address that nobody should follow."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.requests: list[Request] = []
        self._came = threading.Condition()
        self._answers = threading.Event()
        self._answers.set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def hold(self) -> None:
        """Answer nobody until `resume`."""
        self._answers.clear()

    def resume(self) -> None:
        self._answers.set()

    def wait_for(self, met: Callable[[], bool]) -> None:
        """Return when what came is as expected."""
        with self._came:
            assert self._came.wait_for(met, timeout=PATIENCE_S)

    def take(self, request: Request) -> None:
        with self._came:
            self.requests.append(request)
            self._came.notify_all()
        self._answers.wait()

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        with cls() as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield server
            finally:
                server.resume()
                server.shutdown()
                thread.join()


@contextmanager
def dripping() -> Iterator[str]:
    """The address of a server whose answer is a header without an end, a byte at a time."""
    over = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        # A client that has given up resets its connection.
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drop: ")
            while not over.wait(0.01):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        # So that a client which is not bounded ends too, and its test fails.
        patience = threading.Timer(10.0, over.set)
        patience.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            patience.cancel()
            over.set()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Listener

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.command, self.path, dict(self.headers), body)
        self.server.take(request)
        self.send_response(self.server.status)
        self.send_header("Location", f"http://{self.server.address}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        pass
