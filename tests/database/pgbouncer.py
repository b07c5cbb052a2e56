"""A private PgBouncer in transaction mode, in front of a private PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests.database.postgresql import PostgreSQL

_SETTINGS = """
[databases]
* = host={server} port=5432
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
logfile = {folder}/log
"""


def program() -> str | None:
    """Where it is; Debian keeps it out of the PATH of users."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextlib.contextmanager
def pgbouncer(found: str, server: PostgreSQL, database: str) -> Iterator[str]:
    """The address of a database behind it; two connections to the server serve everybody."""
    user = server.url.removeprefix("postgresql://").partition("@")[0]
    with tempfile.TemporaryDirectory(prefix="sttbatch-bouncer-", dir="/tmp") as name:
        folder = Path(name)
        settings = folder / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(server=server.folder, folder=folder))
        (folder / "users").write_text(f'"{user}" ""\n')
        if server.account is not None:
            for path in (folder, settings, folder / "users"):
                shutil.chown(path, server.account)
        running = subprocess.Popen(
            [found, settings],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            user=server.account,
        )  # fmt: skip
        try:
            url = f"postgresql://{user}@/{database}?host={folder}&port=6432"
            _wait_for(url, running, folder / "log")
            yield url
        finally:
            running.kill()
            running.wait()


def _wait_for(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert running.poll() is None, log.read_text("utf-8")
            time.sleep(0.02)
        else:
            return
