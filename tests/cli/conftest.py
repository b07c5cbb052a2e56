"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.redis_server import RedisServer, redis_url
from tests.shell import Shell


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "talks"
    found.mkdir()
    return found


@pytest.fixture
def broker(shell: Shell, shared_redis: RedisServer, tmp_path: Path) -> Iterator[redis.Redis]:
    """An empty broker, which the command line knows."""
    del shared_redis
    url = redis_url(tmp_path)
    shell.extra["STTBATCH_BROKER_URL"] = url
    with redis.Redis.from_url(url) as client:
        yield client
