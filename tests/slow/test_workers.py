"""Three workers on one queue, one of which is killed every three seconds and started again."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.working import endpoint_of, record
from tests.cloudru import CloudRu
from tests.database.backends import schema_url
from tests.shell import Shell, texts, words_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RECORDINGS = 60
WORKERS = 3
LANES = 2
KILL_EVERY_S = 3.0
KILLS = 8
LATENCY_S = 2.0


@pytest.fixture
def cloudru() -> Iterator[CloudRu]:
    with CloudRu(latency_s=LATENCY_S) as running:
        yield running


@pytest.fixture
def cluster(new_shell: Shell, backend_name: str, tmp_path: Path) -> Shell:
    """The command line over each kind of ledger; an endpoint's limit is out of the way."""
    new_shell.extra = {"STTBATCH_RATE_LIMIT": "6000"}
    if backend_name == "postgresql":
        new_shell.extra["STTBATCH_DATABASE_URL"] = schema_url(tmp_path)
    return new_shell


def start(shell: Shell) -> subprocess.Popen[bytes]:
    return shell.start("worker", "-q", "-j", str(LANES))


def test_every_word_is_there_and_no_answer_is_paid_twice(cluster: Shell, tmp_path: Path) -> None:
    endpoint, folder = endpoint_of(cluster), tmp_path / "talks"
    truth = record(folder, RECORDINGS)
    submitted = cluster.run("submit", folder)
    assert submitted.code == 0, submitted.err
    running = [start(cluster) for _ in range(WORKERS)]
    waiting = cluster.start("submit", folder, "--wait")
    kills, lost = 0, 0
    try:
        endpoint.wait_for(lambda e: e.log.in_flight > 0, timeout_s=120)
        for turn in itertools.cycle(range(WORKERS)):
            try:
                waiting.wait(KILL_EVERY_S)
                break
            except subprocess.TimeoutExpired:
                pass
            if kills < KILLS:
                # What is in its lanes: sent, or answered and not stored yet.
                lost += LANES
                running[turn].kill()
                running[turn].communicate()
                running[turn] = start(cluster)
                kills += 1
                killed_at = time.monotonic()
        result = cluster.finish(waiting)
    finally:
        for process in (*running, waiting):
            process.kill()
            process.communicate()
    assert result.code == 0, result.err[-2000:]
    print(f"{kills} kills; done {time.monotonic() - killed_at:.0f} s after the last one")
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words), name
    posts = len(endpoint.received)
    answered = Counter(post.file_sha256 for post in endpoint.received if post.status == 200)
    print(f"{posts} posts for {RECORDINGS} chunks, at most {lost} were not stored at the kills")
    assert RECORDINGS <= posts <= RECORDINGS + lost
    assert len(answered) == RECORDINGS
    stats = cluster.run("stats", "--json")
    assert json.loads(stats.out)["requests"]["ok"] == RECORDINGS, "what was stored was sent once"
