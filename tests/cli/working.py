"""Workers and those who submit to them, as processes."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.cloudru import CloudRu, HeardWord, make_recording
from tests.queue.harness import Ledger
from tests.shell import Shell

LENGTH_S = 11.0
Truth = dict[str, list[HeardWord]]


def record(folder: Path, count: int, *, first: int = 0, length_s: float = LENGTH_S) -> Truth:
    """One chunk each by default, whose words occur in no other."""
    folder.mkdir(exist_ok=True)
    return {
        f"talk-{index}": make_recording(
            folder / f"talk-{index}.wav",
            duration_s=length_s,
            sample_rate=8_000,
            channels=1,
            first_word=100 * index,
        )
        for index in range(first, first + count)
    }


def endpoint_of(shell: Shell) -> CloudRu:
    assert shell.endpoint is not None
    return shell.endpoint


def in_flight(shell: Shell, count: int) -> None:
    """Return when so many requests wait for their answers."""
    endpoint_of(shell).wait_for(lambda e: e.log.in_flight == count, timeout_s=60)


def said(shell: Shell) -> list[str]:
    """The words of each request that was received, in order."""
    return [" ".join(post.words) for post in endpoint_of(shell).received]


@contextlib.contextmanager
def working(
    shell: Shell, *arguments: str, count: int = 1
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Workers that live as long as the block."""
    running = [shell.start("worker", *arguments) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


def metrics_port(worker: subprocess.Popen[bytes]) -> int:
    """Where a worker that was started with `--metrics-port 0` is scraped."""
    return int(until_line(worker, "metrics are served on port").split()[-1])


def scrape(port: int) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return str(answer.read().decode())


def scraped_until(port: int, met: Callable[[str], bool]) -> str:
    """The first scrape that is as expected; the ledger is asked every few seconds."""
    deadline = time.monotonic() + 60
    while not met(text := scrape(port)):
        assert time.monotonic() < deadline, text
        time.sleep(0.1)
    return text


def until_line(process: subprocess.Popen[bytes], wanted: str) -> str:
    """Read what a process says until a line contains `wanted`, and return that line."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if wanted.encode() in line:
            return line.decode()
    raise AssertionError(f"it ended before that: {seen[-3:]!r}")


def until_rows(shell: Shell, query: str, expected: list[tuple[object, ...]]) -> None:
    """Return when the ledger says what is expected; nobody else tells of it."""
    deadline = time.monotonic() + 60
    while (found := rows(shell, query)) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def rows(shell: Shell, query: str) -> list[tuple[object, ...]]:
    return Ledger(shell.home / "data").rows(query)


def jobs_by_name(shell: Shell) -> dict[str, dict[str, Any]]:
    """The jobs by the name of their recording, without its ending."""
    result = shell.run("jobs", "list", "--json")
    assert result.code == 0, result.err
    return {Path(job["recording"]).stem: job for job in json.loads(result.out)}
