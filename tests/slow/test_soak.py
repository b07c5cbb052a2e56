"""A worker that lives for days: its clock is fast, and is set forward when it is idle."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.working import Truth, endpoint_of, in_flight, until_rows
from tests.cloudru import Fin, before_body, make_recording
from tests.shell import Shell, texts, words_of
from tests.slow.faster_clock import JUMP_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * 3600)]

SPEED = 30.0
IDLE_S = float(os.environ.get("STTBATCH_SOAK_IDLE_S", "4"))
"""Seconds between two batches; 80 make an hour of the whole test."""

LANES = 4
BATCHES, RECORDINGS = 40, 50
"""2,000 jobs in ten days, four batches a day."""

BATCHES_A_DAY = round(86_400 / JUMP_S)
LENGTH_S = 4.0
WORDS = 20
"""More than a recording has."""

WITHOUT_HTTP2, WITH_A_KILL = 10, 20
"""The batches in which HTTP/2 fails, and in which another worker is killed."""

LONG_AGO_S = 40 * 86_400.0


def with_clock(
    shell: Shell, speed: float, ahead_s: float, *command: str
) -> subprocess.Popen[bytes]:
    """A process with a faster clock; `-q`, as nobody reads what it says."""
    program = [sys.executable, "-m", "tests.slow.faster_clock", str(speed), str(ahead_s)]
    return subprocess.Popen(
        [*program, *command, "-q"],
        env=shell.environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=shell.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def memory_mib(process: psutil.Process) -> float:
    """Of a process and its children, without what they share with others."""
    tree = [process, *process.children(recursive=True)]
    return float(sum(each.memory_full_info().uss for each in tree)) / (1 << 20)


def measured_before(shell: Shell, at: float) -> int:
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "metrics.db")) as metrics:
        rows = metrics.execute("SELECT count(*) FROM measurements WHERE at < ?", (at,))
        return int(rows.fetchone()[0])


without_http2 = before_body(lambda post: Fin() if post.http_version == "2" else None)


def record(folder: Path, numbers: range) -> Truth:
    """Recordings whose words occur in no other."""
    folder.mkdir()
    return {
        f"talk-{number}": make_recording(
            folder / f"talk-{number}.wav",
            duration_s=LENGTH_S,
            sample_rate=8_000,
            channels=1,
            first_word=WORDS * number,
        )
        for number in numbers
    }


def do_batch(shell: Shell, folder: Path, number: int) -> None:
    """Submit recordings, wait for them, and look at every word."""
    truth = record(folder, range(number * RECORDINGS, (number + 1) * RECORDINGS))
    if number == WITH_A_KILL:
        other = shell.start("worker", "-q", "-j", str(LANES))
        until_rows(shell, "SELECT state FROM workers", [("IDLE",), ("IDLE",)])
        endpoint_of(shell).hold()
    waiting = shell.start("submit", folder, "--wait", "-q")
    if number == WITH_A_KILL:
        in_flight(shell, 2 * LANES)
        other.kill()
        other.communicate()
        endpoint_of(shell).resume()
    result = shell.finish(waiting)
    assert result.code == 0, result.err
    for name, words in truth.items():
        assert words_of(folder / f"{name}.json") == texts(words), (number, name)
    shutil.rmtree(folder)


def test_a_worker_stays_as_it_was_for_ten_days(shell: Shell, tmp_path: Path) -> None:
    endpoint = endpoint_of(shell)
    shell.extra = {"STTBATCH_RATE_LIMIT": "6000"}
    jobs = BATCHES * RECORDINGS
    record(tmp_path / "before", range(jobs, jobs + 1))
    before = with_clock(shell, 1.0, -LONG_AGO_S, "transcribe", str(tmp_path / "before"))
    _, said = before.communicate()
    assert (before.returncode, said) == (0, b"")
    long_ago = time.time() - LONG_AGO_S / 2
    assert measured_before(shell, long_ago) > 0
    memory: list[float] = []
    versions: list[set[str]] = []
    worker = with_clock(shell, SPEED, 0.0, "worker", "-j", str(LANES))
    try:
        tree = psutil.Process(worker.pid)
        for number in range(BATCHES):
            first = len(endpoint.received)
            endpoint.faults = without_http2 if number == WITHOUT_HTTP2 else None
            do_batch(shell, tmp_path / "talks", number)
            versions.append({post.http_version for post in endpoint.received[first:]})
            until_rows(shell, "SELECT state, recordings FROM workers", [("IDLE", 0)])
            time.sleep(IDLE_S)
            memory.append(memory_mib(tree))
            worker.send_signal(signal.SIGUSR1)
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=120)
    finally:
        worker.kill()
        worker.communicate()
    print(f"MiB after each batch: {[round(each) for each in memory]}")
    assert said == b""
    # Nothing is paid twice, whatever happened.
    answered = [post.file_sha256 for post in endpoint.received if post.status == 200]
    assert len(set(answered)) == jobs + 1
    assert len(answered) <= jobs + 1 + LANES
    assert versions[WITHOUT_HTTP2] == {"1.1", "2"}
    assert versions[WITHOUT_HTTP2 + 1] == {"2"}
    later = memory[BATCHES // 4 :]
    assert max(later[-BATCHES_A_DAY:]) < 1.1 * max(later[:BATCHES_A_DAY])
    assert measured_before(shell, long_ago) == 0
    kept = json.loads(shell.run("cache", "stats", "--json").out)["levels"]
    # A chunk and a transcript of each; L3 keeps them all.
    assert kept["L3"]["entries"] == 2 * (jobs + 1)
    assert kept["L2"]["entries"] <= 2 * RECORDINGS * (BATCHES_A_DAY + 1)
