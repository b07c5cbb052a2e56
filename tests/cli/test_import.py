"""`sttbatch import` as its users meet it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cloudru import CloudRu, make_recording
from tests.kinds.importing.samples import VERBOSE, WHISPER, WHISPER_CPP, WHISPERX, encoded
from tests.shell import Shell, load

SUBTITLES = """\
1
00:00:00,031 --> 00:00:02,500
SPEAKER_01: We had 25 barges.

2
00:00:02,600 --> 00:00:03,100
SPEAKER_00: Really?

"""


def recording(path: Path, duration_s: float = 5.0) -> Path:
    make_recording(path, duration_s=duration_s, sample_rate=8_000, channels=1)
    return path


def outcomes(shell: Shell, *arguments: str | Path) -> dict[str, dict[str, Any]]:
    """What became of each file, by its name."""
    result = shell.run("import", *arguments, "--json")
    return {Path(each["path"]).name: each for each in json.loads(result.out)["files"]}


def found(shell: Shell, *arguments: str | Path) -> list[str]:
    """Names of the files in which a search finds something."""
    hits = json.loads(shell.run("search", *arguments, "--json").out)["hits"]
    return [Path(each["path"]).name for each in hits]


def test_old_transcripts_are_found_written_and_asked_about(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    old = folder / "old"
    old.mkdir()
    recording(old / "lock.flac")
    (old / "lock.wav.json").write_bytes(encoded(WHISPER_CPP))
    (old / "sluice.json").write_bytes(WHISPER)
    (old / "barges.json").write_bytes(encoded(WHISPERX))
    (old / "package.json").write_text('{"name": "no transcript"}')
    (old / "broken.json").write_text('{"segments": [')
    result = shell.run("import", "old", "-f", "srt", cwd=folder)
    assert result.code == 1
    assert sorted(result.out.splitlines()) == [
        "old/barges.json: imported: WhisperX, en, 0:03 -> old/barges.srt",
        "old/lock.wav.json: imported: whisper.cpp, en, 0:04, of old/lock.flac -> old/lock.srt",
        "old/sluice.json: imported: Whisper, en, 0:03 -> old/sluice.srt",
    ]
    complaint, summary = result.err.splitlines()
    assert complaint == "old/broken.json: it is not JSON: Input data was truncated"
    assert summary == "4 transcripts: 3 imported, 1 failed, 1 skipped without a transcript"
    assert (old / "barges.srt").read_text("utf-8") == SUBTITLES
    # By the recording where that is there, by the file itself where it is not.
    assert found(shell, "keeper OR barge OR sluice", old) == [
        "sluice.json",
        "lock.flac",
        "barges.json",
    ]
    assert found(shell, "barge", "--speaker", "SPEAKER_01") == ["barges.json"]
    forecast = shell.run("translate", "--to", "de", "--dry-run", old)
    assert forecast.code == 0, forecast.err
    assert "would send 3 questions" in forecast.out
    forecast = shell.run("summarize", "--dry-run", old / "barges.json", old / "lock.flac")
    assert "would send 2 questions" in forecast.out
    assert not cloudru.received, "nothing is sent"


def test_importing_again_changes_nothing_and_an_edited_file_replaces_what_it_was(
    shell: Shell, folder: Path
) -> None:
    path = folder / "talk.json"
    path.write_bytes(encoded(VERBOSE))
    tried = shell.run("import", folder, "--dry-run")
    assert "(nothing is stored: --dry-run)" in tried.summary
    assert not json.loads(shell.run("search", "баржа", "--json").out)["hits"]
    assert outcomes(shell, folder)["talk.json"]["outcome"] == "imported"
    assert outcomes(shell, folder)["talk.json"]["outcome"] == "unchanged"
    assert found(shell, "баржа") == ["talk.json"]
    path.write_bytes(encoded(VERBOSE).replace("Баржа".encode(), "Лодка".encode()))
    assert outcomes(shell, folder)["talk.json"]["outcome"] == "updated"
    assert found(shell, "баржа OR лодка") == ["talk.json"]
    # When its recording is there, it belongs to that alone.
    recording(folder / "talk.wav")
    assert outcomes(shell, path)["talk.json"]["outcome"] == "updated"
    assert found(shell, "лодка") == ["talk.wav"]


def test_a_recording_that_is_transcribed_keeps_its_transcript(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = recording(folder / "talk.flac", 20.0)
    (folder / "old.json").write_bytes(WHISPER)
    before = outcomes(shell, folder / "old.json", "--recording", talk)["old.json"]
    assert (before["outcome"], before["recording"]) == ("imported", str(talk))
    assert shell.transcribe(talk, "-f", "json").code == 0
    assert cloudru.received, "what was imported is no answer"
    word = load(folder / "talk.json")["text"].split()[5]
    again = outcomes(shell, folder)
    assert {each["outcome"] for each in again.values()} == {"transcribed"}
    assert again["old.json"]["recording"] == str(talk), "it is remembered"
    assert found(shell, word) == ["talk.flac"]
    # In another data folder, its json joins by the recording's content.
    shutil.rmtree(shell.home / "data")
    own = outcomes(shell, folder / "talk.json")["talk.json"]
    assert (own["outcome"], own["tool"], own["recording"]) == ("imported", "sttbatch", str(talk))
    assert found(shell, word) == ["talk.flac"]


def test_what_is_written_of_an_import_is_not_imported(shell: Shell, folder: Path) -> None:
    (folder / "talk.json").write_bytes(WHISPER)
    first = outcomes(shell, folder, "-f", "json,txt", "--words")
    (path,) = (each for each in first["talk.json"]["outputs"] if each.endswith(".json"))
    written = load(Path(path))
    assert (written["engine"], written["model"]) == ("imported", "unknown")
    assert written["segments"][1]["words"][1] == {"word": "sluice", "start": 1.6, "end": 2.0}
    again = outcomes(shell, folder)
    assert again["talk.json"]["outcome"] == "unchanged"
    assert again[Path(path).name]["outcome"] == "transcribed"
    assert found(shell, "sluice") == ["talk.json"]


def test_of_two_recordings_with_its_name_none_is_chosen(shell: Shell, folder: Path) -> None:
    (folder / "talk.json").write_bytes(WHISPER)
    recording(folder / "talk.flac")
    recording(folder / "talk.wav")
    result = shell.run("import", folder)
    assert result.code == 0
    assert "talk.flac and talk.wav have its name; --recording says which" in result.err
    assert found(shell, "sluice") == ["talk.json"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nothing.json",), "no such file"),
        (("s3://bucket/talk.json",), "objects cannot be imported"),
        ((".", "--recording", "talk.flac"), "--recording is for one file"),
        ((".", "-f", "pdf"), "pdf"),
        ((".", "-f", "txt", "-o", "-"), "outputs cannot be printed"),
    ],
)
def test_wrong_usage(shell: Shell, folder: Path, arguments: tuple[str, ...], reason: str) -> None:
    result = shell.run("import", *arguments, cwd=folder)
    assert result.code == 2
    assert reason in result.err


def test_another_transcript_is_no_recording(shell: Shell, folder: Path) -> None:
    (folder / "talk.json").write_bytes(WHISPER)
    (folder / "other.json").write_bytes(WHISPER)
    result = shell.run("import", "talk.json", "--recording", "other.json", cwd=folder)
    assert result.code == 1
    assert "other.json has not the ending of a recording" in result.err
