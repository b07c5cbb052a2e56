"""A private PostgreSQL for tests: Debian's programs, a folder of its own, a socket, no TCP."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OLDEST = 15
"""The first major version that sttbatch's statements are written for."""

# A test needs no row after a power failure.
_OPTIONS = "-c listen_addresses= -c fsync=off -c shared_buffers=16MB -c max_connections=20"


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """A server that runs; `folder` holds its socket."""

    programs: Path
    folder: Path
    account: str | None

    def errors(self, statements: Sequence[str]) -> dict[str, str]:
        """Run statements of one line each; what was said of those that were refused."""
        script = "".join(f"{' '.join(each.split())};\n" for each in statements)
        command: list[str | Path] = [
            self.programs / "psql",
            "-X",
            "-q",
            "-o",
            os.devnull,
            "-h",
            self.folder,
        ]
        result = subprocess.run(
            [*command, "-d", "postgres", "-v", "VERBOSITY=terse", "-f", "-"],
            input=script, capture_output=True, text=True, user=self.account, cwd="/",
            env=os.environ | {"LC_ALL": "C", "PGOPTIONS": "-c client_min_messages=error"},
            timeout=120, check=True,
        )  # fmt: skip
        refused: dict[str, str] = {}
        for line in result.stderr.splitlines():
            number, _, error = line.removeprefix("psql:<stdin>:").partition(": ")
            refused[statements[int(number) - 1]] = error
        return refused


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
        options = f"{_OPTIONS} -k {server.folder}"
        _run(server, "pg_ctl", "-D", data, "-l", data / "log", "-o", options, "-w", "start")
        try:
            yield server
        finally:
            _run(server, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


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
