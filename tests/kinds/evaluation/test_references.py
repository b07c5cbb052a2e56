"""Which reference is of which recording."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest

from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.kinds.evaluation.references import References, read_reference


def texts(folder: Path, *names: str) -> References:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("words\n")
    return References(folder)


def of(references: References, recording: str) -> str | None:
    found = references.of(PurePosixPath(recording))
    return None if found is None else found.relative_to(references.path).as_posix()


def test_the_name_with_another_ending_or_with_one_more(tmp_path: Path) -> None:
    found = texts(tmp_path, "talk.txt", "talk.wav.txt", "a.srt", "a.txt", "cover.png")
    assert of(found, "/in/talk.mp3") == "talk.txt"
    assert of(found, "/in/talk.wav") == "talk.wav.txt"
    assert of(found, "/in/a.ogg") == "a.txt"
    assert of(found, "/in/cover.mp3") is None


def test_folders_decide_between_equal_names(tmp_path: Path) -> None:
    found = texts(tmp_path, "2023/talk.txt", "2024/talk.txt")
    assert of(found, "/in/2024/talk.mp3") == "2024/talk.txt"
    with pytest.raises(RecordingError, match="several reference texts"):
        of(found, "/in/talk.mp3")


def test_decomposed_names_are_the_same(tmp_path: Path) -> None:
    found = texts(tmp_path, unicodedata.normalize("NFD", "йод.txt"))
    assert found.of(PurePosixPath("йод.mp3")) is not None


def test_a_folder_without_texts_and_a_text_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no reference texts"):
        References(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(RecordingError, match="not a text that can be read"):
        read_reference(tmp_path / "a.json", ())
    with pytest.raises(RecordingError, match="cannot be read"):
        read_reference(tmp_path / "b.txt", ())
