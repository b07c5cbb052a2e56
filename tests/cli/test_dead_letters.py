"""A recording that fails for its own sake is tried again until its retries are used up, then named.

What stops it otherwise (an outage, a signal, a budget, a full disk) costs it no retry.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, HeardWord, Status, make_recording
from tests.cloudru.faults import Choice
from tests.monitoring.exposed import value
from tests.shell import Shell

RUNS = 8


def record(path: Path, first_word: int) -> list[HeardWord]:
    return make_recording(path, duration_s=6, sample_rate=8_000, channels=1, first_word=first_word)


@pytest.fixture
def poison(folder: Path, cloudru: CloudRu) -> Path:
    """A recording that the endpoint refuses, beside those that it takes."""
    words = {word.text for word in record(folder / "poison.wav", 0)}
    record(folder / "monday.wav", 500)
    record(folder / "tuesday.wav", 700)
    cloudru.faults = Choice(lambda post: Status(400) if words & set(post.words) else None)
    return folder / "poison.wav"


def failed_jobs(shell: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        shell.run("jobs", "list", "--status", "failed", "--json").out
    )
    return found


def dead_letters(shell: Shell) -> int:
    return int(value(shell.run("stats", "--prometheus").out, "sttbatch_dead_letters"))


@pytest.mark.slow
def test_poison_over_eight_runs(shell: Shell, cloudru: CloudRu, folder: Path, poison: Path) -> None:
    sent, dead = [], []
    for _ in range(RUNS):
        before = len(cloudru.received)
        result = shell.transcribe(folder)
        assert result.code == 1, result.err
        (named,) = [line for line in result.err.splitlines() if "poison.wav: failed" in line]
        assert "400" in named
        sent.append(len(cloudru.received) - before)
        dead.append("dead letter" in named)
        if len(sent) in {RUNS // 2 - 1, RUNS // 2, RUNS}:
            # What the alert rule sees: once it is dead it stays so, whatever runs in between.
            assert dead_letters(shell) == (len(sent) >= RUNS // 2)
    assert sent == [3, 1, 1, 1, 0, 0, 0, 0]
    assert dead == [False] * 4 + [True] * 4
    (job,) = failed_jobs(shell)
    assert (job["recording"], job["dead_letter"]) == (str(poison), True)
    assert f"jobs retry {job['id'][:8]}" in named
    assert "failed 4 times" in named

    forecast = shell.transcribe(folder, "--dry-run")
    assert forecast.code == 1
    assert "would send 0 chunks" in forecast.out
    assert "dead letter" in forecast.err
    assert shell.run("jobs", "retry", job["id"]).code == 0
    again = shell.transcribe(folder)
    assert again.code == 1
    assert "dead letter" not in again.err
    assert len(cloudru.received) == sum(sent) + 1
    cloudru.faults = None
    assert shell.transcribe(folder).code == 0
    assert len(cloudru.received) == sum(sent) + 2
    assert dead_letters(shell) == 0


def no_recording(path: Path) -> None:
    path.write_bytes(b"no audio" * 1000)


def damaged(path: Path) -> None:
    """Its headers can be read, its second half cannot be decoded."""
    make_recording(path, duration_s=20, sample_rate=16_000, channels=1)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + random.Random(1).randbytes(len(content) - half))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (no_recording, "talk.mp3", "not a recording that can be read"),
        (damaged, "talk.ogg", "damaged: "),
    ],
)
def test_what_cannot_be_decoded_is_a_dead_letter_too(
    shell: Shell,
    cloudru: CloudRu,
    folder: Path,
    spoil: Callable[[Path], None],
    name: str,
    reason: str,
) -> None:
    spoil(folder / name)
    shell.extra["STTBATCH_JOB_RETRIES"] = "1"
    for run in range(1, 4):
        result = shell.transcribe(folder)
        assert result.code == 1, result.err
        (named,) = [line for line in result.err.splitlines() if f"{name}: failed: " in line]
        assert reason in named
        assert ("dead letter, failed 2 times: " in named) == (run > 2)
        assert dead_letters(shell) == (run > 1)
        assert cloudru.received == []
    forecast = shell.transcribe(folder, "--dry-run")
    assert forecast.code == 1
    assert "would send 0 chunks" in forecast.out
    # What cannot even be opened is looked at again by each forecast.
    assert ("dead letter" if spoil is damaged else reason) in forecast.err
    (job,) = failed_jobs(shell)
    assert job["dead_letter"]
    # Only a changed file can be opened, whatever is retried.
    assert (f"jobs retry {job['id'][:8]}" in named) == (spoil is damaged)
    assert shell.run("jobs", "retry", job["id"]).code == 0
    assert "dead letter" not in shell.transcribe(folder).err
    record(folder / name, 900)
    assert shell.transcribe(folder).code == 0
    assert dead_letters(shell) == 0


def costs_no_retry(shell: Shell, folder: Path) -> None:
    """What was stopped is queued, and the next run finishes it."""
    assert shell.endpoint is not None
    assert failed_jobs(shell) == []
    shell.endpoint.faults = None
    assert shell.transcribe(folder).code == 0


@pytest.mark.slow
def test_what_is_cut_off_is_written_from_the_cache_by_every_run(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    make_recording(folder / "talk.mp3", duration_s=60, sample_rate=16_000, channels=1)
    os.truncate(folder / "talk.mp3", (folder / "talk.mp3").stat().st_size // 2)
    shell.extra["STTBATCH_JOB_RETRIES"] = "1"
    for run in range(1, 3):
        result = shell.transcribe(folder)
        assert result.code == 1, result.err
        assert "talk.mp3: failed: truncated: the header declares 60.0 s" in result.err
        assert dead_letters(shell) == (run > 1)
        assert len(cloudru.received) == 1
        (folder / "talk.txt").unlink()


@pytest.mark.parametrize(
    "change",
    [
        "--force",
        *(pytest.param(change, marks=pytest.mark.slow) for change in ("--prompt", "content")),
    ],
)
def test_what_brings_a_dead_letter_back(
    shell: Shell, cloudru: CloudRu, poison: Path, change: str
) -> None:
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    assert shell.transcribe(poison).code == 1
    assert [job["dead_letter"] for job in failed_jobs(shell)] == [True]
    cloudru.faults = None
    assert shell.transcribe(poison).code == 1
    assert len(cloudru.received) == 1
    options = {"--force": ["--force"], "--prompt": ["--prompt", "names"], "content": []}[change]
    if change == "content":
        record(poison, 900)
    assert shell.transcribe(poison, *options).code == 0
    assert len(cloudru.received) == 2


@pytest.mark.parametrize(
    ("fault", "options", "code"),
    [
        pytest.param(Status(502), ["--outage-wait", "0"], 1, id="outage"),
        pytest.param(
            Status(503), ["--outage-wait", "0"], 1, id="up-and-refusing", marks=pytest.mark.slow
        ),
        pytest.param(
            Status(503, {"retry-after": "7200"}),
            [],
            1,
            id="come-back-later",
            marks=pytest.mark.slow,
        ),
        pytest.param(Status(429), ["--retries", "0"], 1, id="rate-limit", marks=pytest.mark.slow),
        pytest.param(Status(401), [], 3, id="key", marks=pytest.mark.slow),
        pytest.param(None, ["--max-cost", "0"], 4, id="budget", marks=pytest.mark.slow),
    ],
)
def test_what_is_not_its_own_failure_costs_it_no_retry(
    shell: Shell,
    cloudru: CloudRu,
    folder: Path,
    fault: Status | None,
    options: list[str],
    code: int,
) -> None:
    record(folder / "talk.wav", 0)
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    cloudru.faults = lambda _: fault
    assert shell.transcribe(folder, *options).code == code
    costs_no_retry(shell, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGINT, 2), (signal.SIGTERM, 1)],
)
def test_a_signal_costs_no_retry(
    shell: Shell, cloudru: CloudRu, folder: Path, number: signal.Signals, times: int
) -> None:
    """Not even the second one, which gives up what is in flight; all of its processes get it."""
    make_recording(folder / "talk.wav", duration_s=50, sample_rate=8_000, channels=1)
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    arguments = ("transcribe", folder, "-j", "1", "--chunk-duration", "10")
    cloudru.hold()
    process = shell.start(*arguments, start_new_session=True)
    cloudru.wait_for(lambda e: any(post.words and not post.over for post in e.received), 60)
    os.killpg(process.pid, number)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    if times == 2:
        os.killpg(process.pid, number)
        process.wait(60)
    cloudru.resume()
    assert shell.finish(process).code == 128 + number
    assert not (folder / "talk.txt").exists()
    costs_no_retry(shell, folder)
