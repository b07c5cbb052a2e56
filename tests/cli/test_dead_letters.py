"""A recording that fails by itself is tried again until its retries are used up, then named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, Status, make_recording
from tests.cloudru.faults import Choice
from tests.shell import Shell

RUNS = 8


def record(path: Path, first_word: int) -> set[str]:
    words = make_recording(path, duration_s=6, sample_rate=8_000, channels=1, first_word=first_word)
    return {word.text for word in words}


@pytest.fixture
def poison(folder: Path, cloudru: CloudRu) -> Path:
    """A recording that the endpoint refuses, beside one that it takes."""
    words = record(folder / "poison.wav", 0)
    record(folder / "talk.wav", 500)
    cloudru.faults = Choice(lambda post: Status(400) if words & set(post.words) else None)
    return folder / "poison.wav"


def failed_jobs(shell: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        shell.run("jobs", "list", "--status", "failed", "--json").out
    )
    return found


def dead_letters(shell: Shell) -> int:
    (found,) = re.findall(
        r"^sttbatch_dead_letters ([0-9.]+)$", shell.run("stats", "--prometheus").out, re.MULTILINE
    )
    return int(float(found))


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
        # What the alert rule sees: once it is dead it stays so, whatever runs in between.
        assert dead_letters(shell) == (len(sent) >= RUNS // 2)
    assert sent == [2, 1, 1, 1, 0, 0, 0, 0]
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
    cloudru.faults = None
    assert shell.transcribe(folder).code == 0
    assert len(cloudru.received) == sum(sent) + 1
    assert dead_letters(shell) == 0


@pytest.mark.parametrize("change", ["--force", "--prompt", "content"])
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
        pytest.param(Status(503), ["--outage-wait", "0"], 1, id="outage"),
        pytest.param(Status(503, {"retry-after": "7200"}), [], 1, id="come-back-later"),
        pytest.param(None, ["--max-cost", "0"], 4, id="budget"),
    ],
)
def test_what_is_not_its_own_failure_costs_it_no_retry(
    shell: Shell, cloudru: CloudRu, folder: Path, fault: Status, options: list[str], code: int
) -> None:
    record(folder / "talk.wav", 0)
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    cloudru.faults = lambda _: fault
    for _ in range(2):
        assert shell.transcribe(folder, *options).code == code
    assert failed_jobs(shell) == []
    cloudru.faults = None
    assert shell.transcribe(folder).code == 0
