"""What tests of several rooms share."""

from __future__ import annotations

import os
import shutil
import signal

# Threads of numpy's linear algebra spin for a while after each product, on cores that others need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.cloudru import KEY, CloudRu
from tests.database.backends import BACKENDS, Backend
from tests.database.postgresql import VARIABLE, PostgreSQL, postgresql, programs
from tests.object_server import ObjectServer, object_server
from tests.redis_server import PROGRAM, RedisServer, redis_server
from tests.redis_server import VARIABLE as REDIS_VARIABLE
from tests.shell import Shell

# How long an example takes is up to what else this machine does.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# A shell that starts the suite in the background ignores it for all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same; what has a handler is no longer ignored by the processes of tests.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

_BLOCK_BYTES = 1 << 24
_SLOW_S = 900
KEY_FILES = {"key", "cloudru-api-key"}
"""Where tests of `CLOUDRU_API_KEY_FILE` and of systemd's credentials put it."""

_RECORDINGS = {".aac", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".wav", ".webm"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time than others, if they do not say themselves how much."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_SLOW_S))


@pytest.fixture(scope="session", autouse=True)
def no_file_holds_the_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """State, outputs, caches, logs: whatever the tests of this process have left behind."""
    yield
    for folder, _, names in os.walk(tmp_path_factory.getbasetemp()):
        for path in (Path(folder, name) for name in names):
            if path.name in KEY_FILES or path.suffix in _RECORDINGS:
                continue
            # A sparse file of a terabyte holds nothing, and takes minutes to read.
            if path.is_file() and not path.is_symlink() and path.stat().st_blocks:
                assert not _holds(path, KEY.encode()), f"{path} holds the API key"


def _holds(path: Path, wanted: bytes) -> bool:
    with path.open("rb") as file:
        tail = b""
        while block := file.read(_BLOCK_BYTES):
            if wanted in tail + block:
                return True
            tail = block[1 - len(wanted) :]
    return False


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server for the tests of this process."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL 15 or newer is not installed (Debian: postgresql)")
    with postgresql(found) as running:
        os.environ[VARIABLE] = running.url
        yield running


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """A Redis for the tests of this process."""
    if PROGRAM is None:
        pytest.skip("Redis is not installed (Debian: redis-server)")
    with redis_server() as running:
        os.environ[REDIS_VARIABLE] = running.url
        yield running


@pytest.fixture(scope="module", params=BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> str:
    """Each database in turn, whose server runs."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql_server")
    return str(request.param)


@pytest.fixture(scope="module")
def backend(backend_name: str) -> Backend:
    return BACKENDS[backend_name]


@pytest.fixture(scope="session")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of somebody who has used sttbatch before: its databases are made, and empty."""
    folder = tmp_path_factory.mktemp("used") / "home"
    folder.mkdir()
    for command in ("jobs list", "stats", "index"):
        result = Shell(folder).run(*command.split())
        assert result.code == 0, result.err
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Home of a new user."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def cloudru() -> Iterator[CloudRu]:
    """An endpoint over TLS and HTTP/2 that hears what recordings say."""
    with CloudRu() as running:
        yield running
    assert running.errors == []


@pytest.fixture
def new_shell(home: Path, cloudru: CloudRu) -> Shell:
    """The command line of a new user, with a key and an endpoint that takes it."""
    return Shell(home, cloudru)


@pytest.fixture
def home_in_use(home: Path, used_home: Path) -> Path:
    """Home of somebody who has used it before.

    To make the databases costs more than all else that a process does before it sends.
    """
    shutil.copytree(used_home, home, dirs_exist_ok=True)
    return home


@pytest.fixture
def shell(new_shell: Shell, home_in_use: Path) -> Shell:
    """The command line of somebody who has used it before."""
    assert new_shell.home == home_in_use
    return new_shell


@pytest.fixture(scope="session")
def shared_objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Object storage for the tests of this process; each uses a bucket of its own."""
    with object_server(tmp_path_factory.mktemp("objects")) as running:
        yield running
