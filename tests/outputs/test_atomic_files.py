from __future__ import annotations

import fcntl
import os
from pathlib import Path

from sttbatch.outputs.atomic_files import Existing, examine, replace_all, sweep
from sttbatch.outputs.spooled_content import SpooledContent

NAME = ".sttbatch-0123456789abcdef.tmp"


def test_what_changed_since_it_was_examined_is_left_alone(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("edited", "created", "gone", "same")]
    for path in (paths[0], paths[2], paths[3]):
        path.write_bytes(b"old")
    content = SpooledContent([b"n", b"ew"])
    targets = [examine(path, content, frozenset()) for path in paths]
    paths[0].write_bytes(b"by somebody else")
    paths[1].write_bytes(b"by somebody else")
    paths[2].unlink()
    with content:
        assert replace_all(targets) == targets[:3]
    assert paths[0].read_bytes() == paths[1].read_bytes() == b"by somebody else"
    assert paths[3].read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["created", "edited", "same"]


def test_a_file_that_is_larger_is_not_read_to_learn_that_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)
    with SpooledContent([b"new"]) as content:
        assert examine(path, content, frozenset()).existing is Existing.FOREIGN


def test_sweep_removes_what_nobody_holds(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"half")
    notes = tmp_path / ".sttbatch-notes"
    notes.write_bytes(b"mine")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [notes]


def test_sweep_leaves_what_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep(tmp_path)
        assert path.exists()
    sweep(tmp_path)
    assert not path.exists()


def test_sweep_survives_odd_things_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / NAME).symlink_to(tmp_path / "target")
    (tmp_path / NAME.replace("0", "a")).mkdir()
    os.mkfifo(tmp_path / NAME.replace("0", "b"))
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    sweep(tmp_path / "missing")
