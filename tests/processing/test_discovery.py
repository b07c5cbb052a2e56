"""What is found, in which order, and what is said of the rest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.processing.discovery import Discovery, discover, expand


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found: Discovery, root: Path) -> list[str]:
    return [str(Path(candidate.path).relative_to(root)) for candidate in found.candidates]


def test_folders_are_walked_by_name_and_arguments_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp3", "a/2.wav", "a/1.wav", "a/deep/er/0.ogg", "c.mp3", "B.mp3")
    found = discover([tmp_path / "c.mp3", tmp_path])
    assert names(found, tmp_path) == [
        "c.mp3", "B.mp3", "a/1.wav", "a/2.wav", "a/deep/er/0.ogg", "b.mp3",
    ]  # fmt: skip
    assert [candidate.root for candidate in found.candidates] == [str(tmp_path)] * 6
    assert found.failures == []


def test_hidden_files_and_what_is_no_recording_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.mp3", ".git/x.mp3", "a.mp3", "a.txt", "a.json", "a.srt", "a.vtt")
    touch(tmp_path, "a.tsv", "cover.jpg", "notes.md", "unknown", "odd.xyz")
    found = discover([tmp_path])
    assert names(found, tmp_path) == ["a.mp3", "odd.xyz", "unknown"]
    assert [candidate.expected for candidate in found.candidates] == [True, False, False]
    assert len(found.skipped[str(tmp_path)]) == 7


UNFINISHED = (
    "a.mp3.crdownload", "b.partial", "c.mp3.PART", "d.wav.tmp", "e.download", "f.mp3.filepart",
    "g.mkv.!qB", "h.mp3~",
)  # fmt: skip


def test_unfinished_downloads_are_passed_over_and_counted(tmp_path: Path) -> None:
    touch(tmp_path, *UNFINISHED, "i.mp3.download/i.mp3", "my.partial/j.mp3", "k.mp3")
    found = discover([tmp_path])
    assert names(found, tmp_path) == ["k.mp3", "my.partial/j.mp3"]
    skipped = {Path(path).name for path in found.skipped[str(tmp_path)]}
    assert skipped == {*UNFINISHED, "i.mp3.download"}
    assert names(discover([tmp_path / "a.mp3.crdownload"]), tmp_path) == ["a.mp3.crdownload"]


def test_what_is_named_is_expected_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path, ".hidden.mp3", "a.txt")
    found = discover([tmp_path / ".hidden.mp3", tmp_path / "a.txt"])
    assert [candidate.expected for candidate in found.candidates] == [True, True]


def test_loops_are_named_once_and_survived(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/1.mp3")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "gone.mp3").symlink_to("nowhere")
    found = discover([tmp_path])
    assert names(found, tmp_path) == ["a/b/1.mp3"]
    reasons = {Path(path).name: reason for path, reason in found.failures}
    assert "leads back" in reasons["up"]
    assert set(reasons) == {"up", "self", "gone.mp3"}


def test_what_leads_nowhere_is_a_failure_only_by_an_ending_of_recordings(tmp_path: Path) -> None:
    """Editors lock files with such links, and temporary files go while they are looked at."""
    touch(tmp_path, "1.mp3")
    for name in ("gone.mp3", "gone.txt", "gone"):
        (tmp_path / name).symlink_to("nowhere")
    found = discover([tmp_path])
    assert names(found, tmp_path) == ["1.mp3"]
    assert [Path(path).name for path, _ in found.failures] == ["gone.mp3"]
    assert [Path(path).name for path in found.skipped[str(tmp_path)]] == ["gone", "gone.txt"]


def test_one_file_by_two_ways_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a/1.mp3")
    (tmp_path / "link").symlink_to("a")
    monkeypatch.chdir(tmp_path)
    found = discover([Path("a/1.mp3"), tmp_path / "a", Path("link/../a/1.mp3"), Path("link")])
    assert [candidate.display_path for candidate in found.candidates] == ["a/1.mp3"]
    assert found.failures == []


def test_a_very_deep_tree_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper than Python recurses."""
    monkeypatch.chdir(tmp_path)
    folders = [Path(*["d"] * depth) for depth in range(1, 1200)]
    for folder in folders:
        folder.mkdir()
    recording = folders[-1] / "1.mp3"
    recording.write_bytes(b"x")
    try:
        found = discover([Path("d")])
    finally:
        # What removes temporary folders recurses, too.
        recording.unlink()
        for folder in reversed(folders):
            folder.rmdir()
    assert [candidate.path.name for candidate in found.candidates] == ["1.mp3"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "closed/1.mp3", "open/2.mp3")
    (tmp_path / "closed").chmod(0)
    found = discover([tmp_path])
    (tmp_path / "closed").chmod(0o700)
    assert names(found, tmp_path) == ["open/2.mp3"]
    assert [Path(path).name for path, _ in found.failures] == ["closed"]


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    found = discover([tmp_path])
    assert found.candidates == []
    assert len(found.skipped[str(tmp_path)]) == 1


def test_young_files_are_left_alone(tmp_path: Path) -> None:
    touch(tmp_path, "old.mp3", "young.mp3")
    hour_ago = time.time() - 3600
    os.utime(tmp_path / "old.mp3", (hour_ago, hour_ago))
    found = discover([tmp_path], min_age_s=60)
    assert names(found, tmp_path) == ["old.mp3"]
    assert found.recently_modified == 1


def test_names_that_are_not_text_are_found(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp3")).write_bytes(b"x")
    (found,) = discover([tmp_path]).candidates
    assert os.fsencode(found.path).endswith(b"/\xff.mp3")
    assert os.fsencode(found.display_path).endswith(b"/\xff.mp3")


def test_patterns_that_no_shell_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "a1.mp3", "a2.mp3", "sub/a3.mp3", "[x].mp3")
    root = str(tmp_path)
    assert [p.name for p in expand([f"{root}/a*.mp3"])] == ["a1.mp3", "a2.mp3"]
    assert [p.name for p in expand([f"{root}/**/a?.mp3"])] == ["a1.mp3", "a2.mp3", "a3.mp3"]
    assert [p.name for p in expand([f"{root}/[x].mp3"])] == ["[x].mp3"]


@pytest.mark.parametrize("argument", ["missing.mp3", "none*.mp3"])
def test_what_is_not_there_is_an_error(argument: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder") as raised:
        expand([str(tmp_path / argument)])
    assert str(raised.value).startswith(str(tmp_path / argument))


def test_recordings_in_formats_that_are_not_read_are_kept_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.ds2", "b.mp3", "c.VOX", "d.dsf")
    found = discover([tmp_path])
    assert names(found, tmp_path) == ["b.mp3", "d.dsf"]
    assert [Path(path).name for path in found.unreadable] == ["a.ds2", "c.VOX"]
    assert names(discover([tmp_path / "a.ds2"]), tmp_path) == ["a.ds2"]
