"""Standard streams that are closed, full or left by their reader: a run goes on and says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, texts, words_of


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[HeardWord]]:
    folder = tmp_path_factory.mktemp("talks")
    return {
        path: make_recording(
            path, duration_s=11, sample_rate=8_000, channels=1, first_word=50 * number
        )
        for number in range(3)
        for path in [folder / f"talk{number}.wav"]
    }


# The shell's redirection, and what the run's exit code is then.
STREAMS = {
    "| head -1": 0,
    "-v 2>&1 | head -1": 0,
    "<&- >&- 2>&-": 0,
    "2>/dev/full": 0,
    ">/dev/full": 1,
}


@pytest.mark.parametrize(
    "redirection",
    [
        pytest.param(each, marks=[pytest.mark.slow] if each in {"2>/dev/full", "| head -1"} else [])
        for each in STREAMS
    ],
)
def test_nothing_is_lost(
    shell: Shell, tmp_path: Path, talks: dict[Path, list[HeardWord]], redirection: str
) -> None:
    command = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    arguments = ["transcribe", *map(str, talks), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, "-m", "sttbatch", *arguments],
        check=False,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == STREAMS[redirection], done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception" not in done.stdout + done.stderr
    for path, truth in talks.items():
        assert words_of(tmp_path / "out" / f"{path.stem}.json") == texts(truth)
    if redirection == ">/dev/full":
        assert "standard output cannot be written: No space left" in done.stderr


def test_a_full_disk_under_another_command_is_said(shell: Shell) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sttbatch", "config", "show"],
            check=False,
            env=shell.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "sttbatch: No space left on device\n")
