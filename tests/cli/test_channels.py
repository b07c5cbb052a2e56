"""`--channels split`: a call's speakers, each with their own words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.calls import make_call
from tests.cloudru import HeardWord
from tests.shell import Shell, load, texts

FIRST = {"duration_s": 40.0, "silences": ((10.0, 6.0), (24.0, 6.0))}
SECOND = {"duration_s": 31.0, "lead_silence_s": 10.5, "silences": ((16.0, 8.0),)}


@pytest.fixture
def call(tmp_path: Path) -> tuple[Path, list[list[HeardWord]]]:
    (tmp_path / "calls").mkdir()
    path = tmp_path / "calls" / "call.wav"
    return path, make_call(path, FIRST, SECOND)


def sent(shell: Shell) -> int:
    assert shell.endpoint is not None
    return len(shell.endpoint.received)


def said_by(content: dict[str, Any], speaker: str) -> list[str]:
    found = [each["text"] for each in content["segments"] if each.get("speaker") == speaker]
    return " ".join(found).split()


FORMATS = ("-f", "txt,srt,vtt,json", "--chunk-duration", "20")


def test_every_speaker_has_their_words(
    shell: Shell, call: tuple[Path, list[list[HeardWord]]]
) -> None:
    path, truths = call
    split = shell.transcribe(path, "--channels", "split", *FORMATS)
    assert split.code == 0, split.err
    content = load(path.with_suffix(".json"))
    for speaker, truth in zip("12", truths, strict=True):
        assert said_by(content, speaker) == texts(truth)
    assert {chunk["channel"] for chunk in content["chunks"]} == {1, 2}
    starts = [segment["start"] for segment in content["segments"]]
    assert starts == sorted(starts)
    first, other = texts(truths[0])[0], texts(truths[1])[0]
    assert f"1: {first}" in path.with_suffix(".srt").read_text()
    assert f"<v 2>{other}" in path.with_suffix(".vtt").read_text()
    assert f"2: {other}" in path.with_suffix(".txt").read_text()
    paid = sent(shell)

    # Of the folder, in which our own outputs are no recordings.
    people = ("--timestamps", "-f", "txt,md,docx,rttm", "--chunk-duration", "20")
    again = shell.transcribe(path.parent, "--channels", "split", *people)
    assert (again.code, sent(shell)) == (0, paid), again.err
    assert re.search(
        rf"^\[00:00:\d\d\] 2: {other}", path.with_suffix(".txt").read_text(), re.MULTILINE
    )
    assert re.search(
        rf"^\[00:00:\d\d\] \*\*2:\*\* {other}", path.with_suffix(".md").read_text(), re.MULTILINE
    )
    assert path.with_suffix(".docx").read_bytes().startswith(b"PK")
    turns = path.with_suffix(".rttm").read_text().splitlines()
    assert {turn.split()[7] for turn in turns} == {"1", "2"}
    third = shell.transcribe(path.parent, "--channels", "split", *people)
    assert (third.code, sent(shell)) == (0, paid), third.err


@pytest.mark.slow
def test_no_switch_is_paid_twice(shell: Shell, call: tuple[Path, list[list[HeardWord]]]) -> None:
    path, _ = call
    split = shell.transcribe(path, "--channels", "split", *FORMATS)
    assert split.code == 0, split.err
    content = load(path.with_suffix(".json"))
    outputs = path.with_suffix(".json").read_bytes()
    after_split = sent(shell)

    mixed = shell.transcribe(path, *FORMATS)
    assert mixed.code == 0, mixed.err
    assert sent(shell) > after_split
    assert not any("speaker" in each for each in load(path.with_suffix(".json"))["segments"])
    after_both = sent(shell)

    again = shell.transcribe(path, "--channels", "split", *FORMATS)
    assert (again.code, sent(shell)) == (0, after_both), again.err
    assert path.with_suffix(".json").read_bytes() == outputs
    # Without the transcript, from stretches alone, and with other chunks.
    shell.run("cache", "invalidate", "--pattern", "transcript:*")
    shell.extra["STTBATCH_CHUNK_DURATION"] = "35"
    rebuilt = shell.transcribe(path, "--channels", "split", "-f", "json")
    assert (rebuilt.code, sent(shell)) == (0, after_both), rebuilt.err
    assert load(path.with_suffix(".json"))["segments"] == content["segments"]


def test_a_silent_channel_costs_nothing_and_is_named(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "call.flac"
    (truth, _) = make_call(path, {"duration_s": 12.0}, None)
    result = shell.transcribe(path, "--channels", "split")
    assert result.code == 0, result.err
    assert sent(shell) == 1
    content = load(path.with_suffix(".json"))
    assert said_by(content, "1") == texts(truth)
    assert [(gap["reason"], gap["channel"]) for gap in content["gaps"]] == [("no_speech", 2)]


@pytest.mark.slow
def test_mono_is_heard_as_ever(shell: Shell, tmp_path: Path) -> None:
    """It has no speakers to tell apart, and an answer from before is an answer still."""
    path = tmp_path / "memo.wav"
    (truth,) = make_call(path, {"duration_s": 12.0})
    assert shell.transcribe(path).code == 0
    result = shell.transcribe(path, "--channels", "split")
    assert (result.code, sent(shell)) == (0, 1), result.err
    content = load(path.with_suffix(".json"))
    assert content["text"].split() == texts(truth)
    assert "speaker" not in content["segments"][0]


def test_a_dry_run_counts_every_channel(
    shell: Shell, call: tuple[Path, list[list[HeardWord]]]
) -> None:
    mixed = shell.transcribe(call[0], "--dry-run").out
    split = shell.transcribe(call[0], "--dry-run", "--channels", "split").out
    assert "0.7 min" in mixed
    assert "1.3 min" in split
