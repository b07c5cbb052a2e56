"""A real broker, and Celery's programs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import redis

from tests.shell import Shell

DONE = "SELECT count(*) FROM orders WHERE done_at IS NOT NULL AND error IS NULL"
CELERY = (sys.executable, "-m", "celery", "-A", "sttbatch.execution.celery_app")


def messages(broker: redis.Redis) -> dict[str, list[list[Any]]]:
    """The arguments of the messages that wait, by queue."""
    found = {}
    for key in broker.keys("sttbatch:*-*"):
        if broker.type(key) == b"list":
            waiting = [json.loads(each) for each in broker.lrange(key, 0, -1)]
            bodies = [json.loads(base64.b64decode(each["body"])) for each in waiting]
            found[os.fsdecode(key)] = [arguments for arguments, _, _ in bodies]
    return found


def unacknowledged(broker: redis.Redis) -> int:
    return int(broker.hlen("sttbatch:unacked"))


def until_unacknowledged(broker: redis.Redis, count: int) -> None:
    """Return when all messages are received, and so many are not acknowledged."""
    deadline = time.monotonic() + 60
    while messages(broker) or unacknowledged(broker) != count:
        assert time.monotonic() < deadline, messages(broker)
        time.sleep(0.02)


def celery(shell: Shell, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*CELERY, *arguments], env=shell.environment, cwd=shell.home, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip


def start_celery(shell: Shell, *arguments: str) -> subprocess.Popen[bytes]:
    """As people who know Celery start its worker."""
    return subprocess.Popen(
        [*CELERY, "worker", *arguments],
        env=shell.environment,
        cwd=shell.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def ledger_of(shell: Shell) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as ledger, ledger:
        yield ledger


@contextlib.contextmanager
def ended(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
