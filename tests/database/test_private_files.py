"""Folders and files of state: the user's own, and closed to others from their first byte."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sttbatch.core.errors import StateError
from sttbatch.database.private_files import private_file, private_folder
from tests.cloudru import make_recording
from tests.shell import Shell

SOMEBODY = 65_534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to others")


@needs_root
def test_a_folder_of_another_user_is_refused_and_left_as_it_is(new_shell: Shell) -> None:
    """Whoever owns it could put a ledger of theirs there, or read ours."""
    folder = new_shell.home / "data"
    folder.mkdir(mode=0o755)
    os.chown(folder, SOMEBODY, SOMEBODY)
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    result = new_shell.transcribe("talk.wav")
    assert result.code == 1
    assert f"{folder} belongs to another user (uid {SOMEBODY})" in result.err
    assert new_shell.endpoint is not None
    assert new_shell.endpoint.received == []
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("target", ["theirs", "nowhere"])
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    """Whoever can change the link could have any folder closed, or filled."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o755)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(StateError, match=f"is a symbolic link; name {tmp_path / target} itself"):
        private_folder(tmp_path / "link")
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o755
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_home_is_no_data_folder(new_shell: Shell, mode: int) -> None:
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    new_shell.home.chmod(mode)
    new_shell.extra["STTBATCH_DATA_DIR"] = str(new_shell.home)
    result = new_shell.transcribe("talk.wav")
    assert result.code == 1
    assert f"{new_shell.home}" in result.err
    assert f"other files; name a folder of its own, as {new_shell.home}/state" in result.err
    assert new_shell.endpoint is not None
    assert new_shell.endpoint.received == []
    assert stat.S_IMODE(new_shell.home.stat().st_mode) == mode
    assert not (new_shell.home / "ledger.db").exists()


def test_a_home_with_nothing_else_in_it_may_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of the user in deploy/systemd, before and after its first run."""
    monkeypatch.setenv("HOME", str(tmp_path))
    private_folder(tmp_path)
    for name in ("ledger.db", ".cache"):
        (tmp_path / name).touch()
        assert private_folder(tmp_path) == tmp_path


def test_an_open_home_is_not_closed_whatever_lies_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tmp_path.chmod(0o755)
    for name in ("l2", "ledger.db", "letters"):
        (tmp_path / name).touch()
    with pytest.raises(StateError, match="is your home folder, with other files"):
        private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_folder_of_other_things_is_not_closed_and_a_data_folder_is(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "talk.wav").touch()
    folder.chmod(0o755)
    with pytest.raises(StateError, match="is open to others and holds other files"):
        private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    # As it comes back from a backup.
    (folder / "ledger.db").touch()
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@needs_root
@pytest.mark.parametrize(
    "name", ["ledger.db", pytest.param("ledger.db-journal", marks=pytest.mark.slow), "metrics.db"]
)
def test_a_file_of_another_user_is_refused_before_it_is_read(new_shell: Shell, name: str) -> None:
    """The folder may have been open to others once: what they left there is not ours."""
    data = new_shell.home / "data"
    data.mkdir(mode=0o700)
    (data / name).touch()
    os.chown(data / name, SOMEBODY, SOMEBODY)
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    result = new_shell.transcribe("talk.wav")
    assert f"{data / name} belongs to another user (uid {SOMEBODY})" in result.err
    assert "Traceback" not in result.err
    if name.startswith("ledger"):
        assert result.code == 1
        assert new_shell.endpoint is not None
        assert new_shell.endpoint.received == []


@pytest.mark.parametrize(
    "name", ["ledger.db", pytest.param("ledger.db-wal", marks=pytest.mark.slow)]
)
def test_a_link_or_a_pipe_in_the_place_of_a_file_is_refused(new_shell: Shell, name: str) -> None:
    data = new_shell.home / "data"
    data.mkdir(mode=0o700)
    target = new_shell.home / "elsewhere"
    target.write_bytes(b"")
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    (data / name).symlink_to(target)
    linked = new_shell.transcribe("talk.wav")
    (data / name).unlink()
    os.mkfifo(data / name)
    piped = new_shell.transcribe("talk.wav")
    for result in (linked, piped):
        assert result.code == 1
        assert f"{data / name} " in result.err
        assert "Traceback" not in result.err
    assert new_shell.endpoint is not None
    assert new_shell.endpoint.received == []
    assert target.read_bytes() == b""


def test_a_file_that_others_could_write_is_closed(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    (tmp_path / "ledger.db").chmod(0o666)
    assert stat.S_IMODE(private_file(tmp_path / "ledger.db").stat().st_mode) == 0o600


def test_a_folder_that_all_share_is_not_closed_to_them(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for path in (shared, Path("/")):
        before = path.stat().st_mode
        with pytest.raises(StateError, match="name a folder of your own"):
            private_folder(path)
        assert path.stat().st_mode == before
    assert stat.S_IMODE(private_folder(shared / "mine").stat().st_mode) == 0o700


def test_a_folder_that_others_could_read_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = os.umask(0)
    try:
        assert stat.S_IMODE(private_file(folder / "file").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.slow
def test_every_file_of_state_is_closed_once_a_run_is_over(new_shell: Shell) -> None:
    """With a umask that closes nothing."""
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    new_shell.finish(new_shell.start("transcribe", "talk.wav", umask=0))
    data = new_shell.home / "data"
    held = {path.name: path for path in data.rglob("*")}
    assert {"ledger.db", "rate.db", "answers"} <= set(held)
    for path in (data, *held.values()):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is missing: apt-get install strace")
def test_every_file_of_state_is_closed_from_its_first_byte(
    new_shell: Shell, tmp_path: Path
) -> None:
    """As the kernel was asked for it: ledger, journals, rates, answers, locks, caches, chunks."""
    make_recording(new_shell.home / "talk.wav", duration_s=5, sample_rate=8_000, channels=1)
    log = tmp_path / "strace.log"
    command = [sys.executable, "-m", "sttbatch", "transcribe", "talk.wav"]
    done = subprocess.run(
        ["strace", "-f", "-s", "500", "-e", "trace=%file,fchmod", "-o", str(log), *command],
        check=False, capture_output=True, timeout=60, umask=0,
        env=new_shell.environment | {"STTBATCH_CACHE_DIR": str(new_shell.home / "cache")},
        cwd=new_shell.home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made: dict[str, int] = {}
    # A call that another thread overtakes stands in two parts, the first of which has it all.
    calls = r'(?:openat\(AT_FDCWD, |mkdir\()"([^"]+)", (?:O_\S*O_CREAT\S* )?(0[0-7]+)(?:\)| <unf)'
    pattern = re.compile(calls)
    for path, mode in pattern.findall(log.read_text()):
        if path.startswith((f"{new_shell.home}/data", f"{new_shell.home}/cache")):
            # SQLite opens again, with a mode of its own, what is there already.
            made.setdefault(path.removeprefix(f"{new_shell.home}/"), int(mode, 8))
    assert "data/ledger.db" in made
    assert "data/rate.db" in made
    assert any(path.startswith("data/answers/") for path in made)
    assert any(path.startswith("cache/") for path in made)
    assert {path: oct(mode) for path, mode in made.items() if mode & 0o077} == {}
