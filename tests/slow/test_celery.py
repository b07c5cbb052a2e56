"""Three workers that a broker tells of jobs, with all that may happen to its messages."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.cli.celery_programs import until_unacknowledged
from tests.cli.working import Truth, endpoint_of, in_flight, record, rows, until_rows, working
from tests.database.backends import schema_url
from tests.database.postgresql import PostgreSQL
from tests.redis_server import redis_server
from tests.shell import Shell, texts, words_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECORDINGS = 60
WORKERS = 3
LANES = 2
EVERY_S = 5.0
KILLS = 6
LATENCY_S = 2.0
STOPPED_S = 10.0
BEGUN_AGAIN_S = 2.0
"""Below the time between two looks for jobs that no message tells of."""


@pytest.fixture
def cluster(new_shell: Shell, postgresql_server: PostgreSQL, tmp_path: Path) -> Shell:
    """The command line over PostgreSQL; the endpoint's limit is out of the way."""
    del postgresql_server
    endpoint_of(new_shell).latency_s = LATENCY_S
    new_shell.extra = {
        "STTBATCH_RATE_LIMIT": "6000",
        "STTBATCH_DATABASE_URL": schema_url(tmp_path),
    }
    return new_shell


def deliver_again(client: redis.Redis, times: int) -> None:
    """As if the broker had each message so many times more."""
    for key in client.keys("sttbatch:medium-*"):
        for message in client.lrange(key, 0, -1):
            for _ in range(times):
                copy = json.loads(message)
                copy["properties"]["delivery_tag"] = str(uuid.uuid4())
                client.rpush(key, json.dumps(copy))


def work(
    shell: Shell,
    folder: Path,
    truth: Truth,
    disturb: Callable[[int, list[subprocess.Popen[bytes]]], int],
) -> None:
    """Have workers do it all; `disturb` is called every few seconds, and says what it has lost."""
    endpoint = endpoint_of(shell)
    running = [shell.start("worker", "-q", "-j", str(LANES)) for _ in range(WORKERS)]
    waiting = shell.start("submit", folder, "--wait", "-q")
    lost = 0
    try:
        endpoint.wait_for(lambda e: e.log.in_flight > 0, timeout_s=120)
        for turn in itertools.count():
            try:
                waiting.wait(EVERY_S)
                break
            except subprocess.TimeoutExpired:
                lost += disturb(turn, running)
        result = shell.finish(waiting)
    finally:
        for process in (*running, waiting):
            process.kill()
            process.communicate()
    assert result.code == 0, result.err[-2000:]
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words), name
    answered = Counter(post.file_sha256 for post in endpoint.received if post.status == 200)
    posts = len(endpoint.received)
    print(f"{posts} posts for {RECORDINGS} chunks, at most {lost} were in flight at kills")
    assert RECORDINGS <= posts <= RECORDINGS + lost
    assert len(answered) == RECORDINGS


def test_messages_come_three_times_and_workers_are_killed(cluster: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    truth = record(folder, RECORDINGS)

    def kill(turn: int, running: list[subprocess.Popen[bytes]]) -> int:
        if turn >= KILLS:
            return 0
        lost = min(LANES, endpoint_of(cluster).log.in_flight)
        killed = running[turn % WORKERS]
        killed.kill()
        killed.communicate()
        running[turn % WORKERS] = cluster.start("worker", "-q", "-j", str(LANES))
        return lost

    with redis_server() as server:
        cluster.extra["STTBATCH_BROKER_URL"] = server.url
        assert cluster.run("submit", folder).code == 0
        with redis.Redis.from_url(server.url) as client:
            deliver_again(client, 2)
        work(cluster, folder, truth, kill)


def test_the_broker_comes_back_empty(cluster: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    truth = record(folder, RECORDINGS)
    with redis_server() as server:
        url = f"redis+socket://{server.socket}"
        cluster.extra |= {"STTBATCH_BROKER_URL": url, "STTBATCH_REDIS_URL": server.socket_url}

        def stop(turn: int, running: list[subprocess.Popen[bytes]]) -> int:
            del running
            if turn == 0:
                server.stop()
                time.sleep(STOPPED_S)
                server.start()
            return 0

        work(cluster, folder, truth, stop)


def test_the_rest_of_a_drained_worker_begins_elsewhere_at_once(new_shell: Shell) -> None:
    """By the ledger's clock, from the end of the first one's claims to the other's first one."""
    shell = new_shell
    folders = [shell.home / name for name in ("first", "others")]
    record(folders[0], 1)
    record(folders[1], 3, first=1)
    endpoint_of(shell).hold()
    with redis_server() as server:
        shell.extra["STTBATCH_BROKER_URL"] = server.url
        shell.run("submit", folders[0])
        with working(shell, "-q", "-j", "1") as (first,):
            in_flight(shell, 1)
            shell.run("submit", folders[1])
            until_rows(shell, "SELECT count(*) FROM processing_tasks", [(4,)])
            with working(shell, "-q", "-j", "1"):
                # What the first one had not received, the other one has found to be claimed.
                with redis.Redis.from_url(server.url) as client:
                    until_unacknowledged(client, 1)
                first.send_signal(signal.SIGTERM)
                in_flight(shell, 2)
                ((pause_s,),) = rows(
                    shell,
                    """SELECT (SELECT min(started_at) FROM processing_tasks WHERE claim_number = 2)
                        - min(completed_at) FROM processing_tasks WHERE status = 'RELEASED'""",
                )
                endpoint_of(shell).resume()
                assert first.wait(60) == 128 + signal.SIGTERM
    print(f"what was prepared was begun elsewhere after {pause_s:.3f} s")
    assert float(str(pause_s)) < BEGUN_AGAIN_S
