"""A private Redis for tests: Debian's program, a folder of its own, loopback, nothing on a disk."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

VARIABLE = "STTBATCH_TEST_REDIS"
"""The address of the running server, without a database's number."""

PROGRAM = shutil.which("redis-server")
_DATABASES = 4096
_numbers = itertools.count()


class RedisServer:
    """A server that can be stopped and started, each time empty; `options` are redis-server's."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.socket = folder / "redis.sock"
        self._folder = folder
        self._options = options
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket_url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [
                str(PROGRAM), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "no", "--databases", str(_DATABASES), "--dir", str(self._folder),
                "--unixsocket", str(self.socket), *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            # Its socket, as another process may have taken the port meanwhile.
            patient = Retry(ConstantBackoff(0.05), 600)
            with redis.Redis(unix_socket_path=str(self.socket), retry=patient) as client:
                client.ping()
            with socket.create_connection(("127.0.0.1", self.port)):
                pass
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill it, with everything in it."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
        self.socket.unlink(missing_ok=True)


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    # A socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="sttbatch-redis-", dir="/tmp") as name:
        server = RedisServer(Path(name), *options)
        try:
            yield server
        finally:
            server.stop()


@functools.cache
def redis_url(folder: Path) -> str:
    """The address of a folder's own database at the server of this process's tests."""
    del folder
    return f"{os.environ[VARIABLE]}/{next(_numbers) % _DATABASES}"
