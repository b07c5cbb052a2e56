"""A PostgreSQL that is far away: a socket whose bytes arrive later."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.database.postgresql import PostgreSQL

_SOCKET = ".s.PGSQL.5432"


@contextlib.contextmanager
def distant(server: PostgreSQL, delay_s: float) -> Iterator[Path]:
    """The folder of a socket that leads to the server; each way takes `delay_s`."""

    def carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                time.sleep(delay_s)
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def serve(near: socket.socket) -> None:
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(str(server.folder / _SOCKET))
            back = threading.Thread(target=carry, args=(far, near))
            back.start()
            carry(near, far)
            back.join()

    def accept() -> None:
        # Until it is closed.
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                serving.append(threading.Thread(target=serve, args=(near,)))
                serving[-1].start()

    serving: list[threading.Thread] = []
    with tempfile.TemporaryDirectory(prefix="sttbatch-far-", dir="/tmp") as name:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{name}/{_SOCKET}")
        listener.listen()
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield Path(name)
        finally:
            # Closing alone does not wake who waits for it.
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *serving):
                thread.join()
            listener.close()
