"""What is told on a terminal while no bars are drawn: before a batch, and without one."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloudru import make_recording
from tests.shell import Shell

from .working import working


@pytest.fixture
def talk(folder: Path) -> Path:
    path = folder / "talk.wav"
    make_recording(path, duration_s=11, sample_rate=8_000, channels=1)
    return path


def on_terminal(
    shell: Shell, *arguments: str | Path, command: str = "transcribe"
) -> tuple[int, str, str]:
    """Exit code, standard output, and what the terminal was sent."""
    ours, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sttbatch", command, *map(str, arguments)],
        env=shell.environment | {"TERM": "xterm"},
        cwd=shell.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # nobody holds the other side any more
        while data := os.read(ours, 65_536):
            shown += data
    os.close(ours)
    out, _ = process.communicate()
    return process.returncode, out.decode(), shown.decode()


def test_a_dry_run(shell: Shell, folder: Path, talk: Path) -> None:
    (folder / "broken.mp3").write_bytes(b"no sound" * 100)
    code, out, shown = on_terminal(shell, folder, "--dry-run")
    assert code == 1, shown
    assert f"{talk}: 0.2 min, 1 chunk" in out
    assert "broken.mp3: failed" in shown


def test_what_former_runs_have_finished(shell: Shell, folder: Path, talk: Path) -> None:
    code, out, shown = on_terminal(shell, folder)
    assert code == 0, shown
    # A file that had just changed when it was indexed would be looked at again.
    with contextlib.closing(sqlite3.connect(shell.home / "data" / "ledger.db")) as db, db:
        db.execute("UPDATE files SET indexed_at_ns = indexed_at_ns + 10000000000")
    code, again, shown = on_terminal(shell, folder)
    assert code == 0, shown
    assert again == out == f"{talk.with_suffix('.txt')}\n"
    assert f"{talk}: from cache, 0:11" in shown
    assert "1 recording done" in shown


def test_who_waits_for_workers_sees_the_bar_of_the_batch(
    shell: Shell, folder: Path, talk: Path
) -> None:
    with working(shell):
        code, out, shown = on_terminal(shell, folder, "--wait", command="submit")
    assert (code, out) == (0, f"{talk.with_suffix('.txt')}\n"), shown
    assert "batch" in shown
    assert "0:11/0:11" in shown
    assert "1 recording done, 0 failed" in shown


def test_a_warning_before_the_batch(new_shell: Shell, folder: Path, talk: Path) -> None:
    data = new_shell.home / "data"
    data.mkdir()
    (data / "metrics.db").write_bytes(b"no database at all" * 1000)
    code, _, shown = on_terminal(new_shell, talk)
    assert code == 0, shown
    assert "no metrics of this run are kept" in shown
