"""Which reference is of which recording."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

import pytest

from sttbatch.core.errors import RecordingError, UsageError
from sttbatch.kinds.evaluation.references import LARGEST_BYTES, References, read_reference


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


def test_other_encodings_are_named_instead_of_counted_as_errors(tmp_path: Path) -> None:
    text = tmp_path / "talk.txt"
    for encoding in ("cp1251", "utf-16"):
        text.write_bytes("Коллеги, давайте начнём.".encode(encoding))
        with pytest.raises(RecordingError, match="not UTF-8; save it as UTF-8"):
            read_reference(text, ())
    text.write_bytes("Коллеги".encode("utf-8-sig"))
    assert [each.text for each in read_reference(text, ())] == ["Коллеги"]


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "talk.txt").open("wb") as file:
        file.truncate(LARGEST_BYTES + 1)
    with pytest.raises(RecordingError, match="larger than 64 MiB"):
        read_reference(tmp_path / "talk.txt", ())
