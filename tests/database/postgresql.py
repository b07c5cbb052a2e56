"""A private PostgreSQL for tests: Debian's programs, a folder of its own, a socket, no TCP."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15
"""The first major version that sttbatch's statements are written for."""

# A test needs no row after a power failure.
_OPTIONS = "-c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=60"


VARIABLE = "STTBATCH_TEST_POSTGRESQL"
"""The address of the running server, for the processes that a test starts."""


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A server that runs; `folder` holds its socket."""

    programs: Path
    folder: Path
    account: str | None

    @property
    def url(self) -> str:
        user = self.account or pwd.getpwuid(os.geteuid()).pw_name
        return f"postgresql://{user}@/postgres?host={self.folder}"

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is as if its processes were killed."""
        _run(self, "pg_ctl", "-D", self.folder / "data", "-m", mode, "-w", "stop")

    def start(self) -> None:
        data = self.folder / "data"
        options = f"{_OPTIONS} -k {self.folder}"
        _run(self, "pg_ctl", "-D", data, "-l", data / "log", "-o", options, "-w", "start")


def programs() -> Path | None:
    """The folder of the newest version that is installed and new enough."""
    versions = [
        (int(folder.parent.name), folder)
        for folder in Path("/usr/lib/postgresql").glob("[0-9]*/bin")
        if (folder / "initdb").exists() and (folder / "psql").exists()
    ]
    return max((each for each in versions if each[0] >= OLDEST), default=(0, None))[1]


@contextlib.contextmanager
def postgresql(found: Path) -> Iterator[PostgreSQL]:
    """A server with an empty database, gone with everything in it at the end."""
    # A socket's path has at most 107 characters, and another account must reach it.
    with tempfile.TemporaryDirectory(prefix="sttbatch-pg-", dir="/tmp") as name:
        account = _account()
        if account is not None:
            os.chown(name, pwd.getpwnam(account).pw_uid, -1)
        server = PostgreSQL(found, Path(name), account)
        data = server.folder / "data"
        _run(server, "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _account() -> str | None:
    """Who it runs as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _run(server: PostgreSQL, program: str, *arguments: object) -> None:
    # No pipe for its output: the server would inherit it, and the pipe would never end.
    subprocess.run(
        [server.programs / program, *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, user=server.account,
        cwd=server.folder, timeout=120, check=True,
    )  # fmt: skip
