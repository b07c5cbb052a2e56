"""What fails before a lane works on it is named like any other failure, until it is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, make_recording
from tests.shell import Shell

RULE = "[[alerts]]\nname = 'failing'\nmetric = 'jobs_failed'\nthreshold = 1\n"


@pytest.fixture
def talk(folder: Path) -> Path:
    path = folder / "talk.wav"
    make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    return path


def named(shell: Shell) -> dict[str, str]:
    """The failed recordings of `stats`, and why."""
    found = json.loads(shell.run("stats", "--json").out)["failed"]
    return {Path(each["name"]).name: each["failure"] for each in found}


def jobs(shell: Shell) -> dict[str, str]:
    found: list[dict[str, Any]] = json.loads(shell.run("jobs", "list", "--json").out)
    by_name = {Path(each["recording"]).name: each["status"] for each in found}
    assert len(by_name) == len(found), "a second failure is the same job's"
    return by_name


@pytest.fixture
def lost(folder: Path, talk: Path) -> Path:
    """A link to nothing, beside a recording and two copies of what is none."""
    assert talk.exists()
    (folder / "broken.mp3").write_bytes(b"no audio" * 100)
    (folder / "copy of broken.mp3").write_bytes(b"no audio" * 100)
    path = folder / "lost.wav"
    path.symlink_to(folder / ".later.wav")
    return path


@pytest.mark.slow
def test_what_cannot_be_read(shell: Shell, folder: Path, lost: Path) -> None:
    config = shell.home / ".config" / "sttbatch" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(RULE)
    first = shell.transcribe(folder)
    assert first.code == 1, first.err
    assert "3 failed" in first.summary
    assert "failing: jobs_failed is 2 over" in first.err
    assert jobs(shell) == {"broken.mp3": "FAILED", "lost.wav": "FAILED", "talk.wav": "COMPLETED"}
    found = named(shell)
    assert set(found) == {"broken.mp3", "lost.wav"}
    assert found["lost.wav"] == "it cannot be read: No such file or directory"
    lost.unlink()
    for name in ("lost.wav", "broken.mp3"):
        forgotten = shell.run("cache", "invalidate", "--file", folder / name)
        assert forgotten.code == 0, forgotten.err
    assert named(shell) == {}


@pytest.mark.slow
def test_what_cannot_be_read_is_named_until_it_is_mended(
    shell: Shell, folder: Path, lost: Path
) -> None:
    assert shell.transcribe(folder).code == 1
    assert "lost.wav: it cannot be read" in shell.run("stats").out

    shell.run("jobs", "purge", "--all")
    assert shell.transcribe(folder, "--dry-run").code == 1
    assert jobs(shell) == {}, "a forecast notes nothing"
    assert shell.transcribe(folder).code == 1
    assert jobs(shell) == {"broken.mp3": "FAILED", "lost.wav": "FAILED"}

    later = folder / ".later.wav"
    make_recording(later, duration_s=11, sample_rate=8_000, channels=1, first_word=9)
    assert shell.transcribe(folder).code == 1
    assert jobs(shell)["lost.wav"] == "COMPLETED"
    assert set(named(shell)) == {"broken.mp3"}

    lost.unlink()
    lost.symlink_to(folder / "nowhere")
    assert shell.transcribe(lost).code == 1
    assert set(named(shell)) == {"broken.mp3", "lost.wav"}


@pytest.mark.slow
def test_outputs_that_cannot_be_written(shell: Shell, cloudru: CloudRu, talk: Path) -> None:
    (talk.parent / "talk.txt").mkdir()
    # The first time it was sent, then everything is there but its output.
    for _ in range(2):
        assert shell.transcribe(talk).code == 1
        assert jobs(shell) == {"talk.wav": "FAILED"}
        assert "talk.txt" in named(shell)["talk.wav"]
    (talk.parent / "talk.txt").rmdir()
    assert shell.transcribe(talk).code == 0
    assert jobs(shell) == {"talk.wav": "COMPLETED"}
    assert named(shell) == {}
    assert len(cloudru.received) == 1
