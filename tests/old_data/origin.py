"""An address that is the same on every machine, and the test endpoint behind it.

The origin of the base URL (scheme, host, port) is part of every cache key, and the test endpoint's
port is another one each time. A fixed port could be taken, by another test or by another run on
the same machine. So the address is fixed, `https://localhost`, and a proxy on a free port takes
whoever asks for it to the endpoint, wherever that listens: nothing but the name is shared, and any
number of tests may run side by side.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from tests.cloudru import CloudRu

BASE_URL = "https://localhost/v1"
_AUTHORITY = b"localhost:443"
_BLOCK_BYTES = 65_536


@contextlib.contextmanager
def fixed_origin(endpoint: CloudRu) -> Iterator[dict[str, str]]:
    """The variables with which a command finds `endpoint` at `BASE_URL`."""
    with _Proxy(endpoint) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            address = f"http://127.0.0.1:{proxy.server_address[1]}"
            yield {"STTBATCH_BASE_URL": BASE_URL, "HTTPS_PROXY": address}
        finally:
            proxy.shutdown()
            thread.join()


class _Proxy(socketserver.ThreadingTCPServer):
    """Knows one address only, so that nothing can be reached that should not be."""

    def __init__(self, endpoint: CloudRu) -> None:
        self.endpoint = endpoint
        super().__init__(("127.0.0.1", 0), _Tunnel)


class _Tunnel(socketserver.StreamRequestHandler):
    """One connection: a CONNECT (RFC 9110, 9.3.6), then bytes in both directions."""

    server: _Proxy

    def handle(self) -> None:
        method, authority, _ = self.rfile.readline().split()
        while self.rfile.readline().strip():
            pass
        if (method, authority) != (b"CONNECT", _AUTHORITY):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.endpoint.port)) as endpoint:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            answers = threading.Thread(target=_pump, args=(endpoint, self.connection))
            answers.start()
            _pump(self.connection, endpoint)
            answers.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Until either side is gone."""
    # A client that was killed resets its connection.
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
