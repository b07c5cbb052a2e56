"""Which files are due, on a clock that the test moves on."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest

from sttbatch.processing import arrivals
from sttbatch.processing.arrivals import LONGEST_RETRY_S, RETRY_S, Arrivals
from sttbatch.processing.discovery import Candidate, discover, may_be_recording

SETTLE_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.monotonic_s = 1_000.0

    def monotonic(self) -> float:
        return self.monotonic_s

    def time(self) -> float:
        return time.time() + self.monotonic_s - 1_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(arrivals, "time", found)
    return found


def taken(watched: Arrivals, folder: Path) -> list[str]:
    return [Path(each.display_path).name for each in _taken(watched, folder)]


def _taken(watched: Arrivals, folder: Path) -> list[Candidate]:
    return watched.take(discover([folder])).candidates


def test_a_file_that_grows_is_taken_once_and_whole(tmp_path: Path, clock: Clock) -> None:
    watched, path = Arrivals(SETTLE_S), tmp_path / "talk.wav"
    assert taken(watched, tmp_path) == []
    with path.open("wb") as file:
        for _ in range(5):
            file.write(b"x" * 1000)
            file.flush()
            # Whoever copies it may keep its times.
            os.utime(path, (1e9, 1e9))
            assert taken(watched, tmp_path) == []
            assert watched.due_s == clock.monotonic_s + SETTLE_S
            clock.monotonic_s += SETTLE_S - 1
    assert taken(watched, tmp_path) == []
    clock.monotonic_s += 1
    assert taken(watched, tmp_path) == ["talk.wav"]
    assert watched.due_s == math.inf
    clock.monotonic_s += 1e6
    assert taken(watched, tmp_path) == []


def test_what_was_there_before_is_taken_at_once_unless_it_is_young(
    tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "old.wav").write_bytes(b"x")
    assert taken(Arrivals(SETTLE_S), tmp_path) == []
    clock.monotonic_s += SETTLE_S
    watched = Arrivals(SETTLE_S)
    assert taken(watched, tmp_path) == ["old.wav"]
    # Its own time may be that of a copied file.
    old = tmp_path / "old.wav"
    old.rename(tmp_path / "arrived.wav")
    assert taken(watched, tmp_path) == []


def test_a_changed_file_and_one_that_came_back_are_taken_again(
    tmp_path: Path, clock: Clock
) -> None:
    watched, path = Arrivals(0.0), tmp_path / "talk.wav"
    path.write_bytes(b"x")
    assert taken(watched, tmp_path) == ["talk.wav"]
    path.write_bytes(b"xy")
    assert taken(watched, tmp_path) == ["talk.wav"]
    kept = tmp_path.parent / "kept.wav"
    path.rename(kept)
    assert taken(watched, tmp_path) == []
    kept.rename(path)
    assert taken(watched, tmp_path) == ["talk.wav"]


def test_what_could_not_be_done_is_due_after_pauses_that_grow(tmp_path: Path, clock: Clock) -> None:
    watched, path = Arrivals(0.0), tmp_path / "talk.wav"
    path.write_bytes(b"x")
    pauses = []
    for _ in range(8):
        (found,) = _taken(watched, tmp_path)
        watched.try_again([found])
        pauses.append(watched.due_s - clock.monotonic_s)
        clock.monotonic_s = watched.due_s
    assert pauses[:3] == [RETRY_S, 2 * RETRY_S, 4 * RETRY_S]
    assert pauses[-1] == LONGEST_RETRY_S
    (found,) = _taken(watched, tmp_path)
    # It changed meanwhile, so that it is due anyway.
    path.write_bytes(b"xy")
    (changed,) = _taken(watched, tmp_path)
    watched.try_again([found])
    assert watched.due_s == math.inf
    watched.try_again([changed])
    assert watched.due_s == clock.monotonic_s + RETRY_S


def test_what_cannot_be_read_is_told_once(tmp_path: Path, clock: Clock) -> None:
    del clock
    (tmp_path / "talk.wav").symlink_to(tmp_path / "nothing")
    (tmp_path / "talk.vox").touch()
    (tmp_path / "notes.txt").touch()
    watched = Arrivals(0.0)
    first, second = (watched.take(discover([tmp_path])) for _ in range(2))
    assert [path for path, _ in first.failures] == [str(tmp_path / "talk.wav")]
    assert first.unreadable == [str(tmp_path / "talk.vox")]
    assert [*first.skipped] == [str(tmp_path)]
    assert (second.failures, second.unreadable, second.skipped) == ([], [], {})


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("talk.wav", True),
        ("noending", True),
        ("talk.txt", False),
        ("talk.json", False),
        (".sttbatch-0123456789abcdef.tmp", False),
        ("talk.mp3.part", False),
        ("talk.wav~", False),
    ],
)
def test_own_outputs_and_what_is_unfinished_wake_nobody(name: str, matters: bool) -> None:
    assert may_be_recording(name) is matters
