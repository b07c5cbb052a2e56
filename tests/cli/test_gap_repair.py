"""What an answer lacks is sent again, paid once, and named where it cannot be had."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cloudru import (
    Choice,
    CloudRu,
    Heard,
    HeardWord,
    Received,
    Status,
    Style,
    hear,
    make_recording,
)
from tests.shell import Shell, load, texts, words_of

VLLM = Style(duration_as_string=True, words_null=True)
LOSSY = Style(duration_as_string=True, words_null=True, lose=(12, 45))
RATE = 16_000


@pytest.fixture(autouse=True)
def all_sound_is_speech(shell: Shell) -> None:
    """Words are tones here, which are no speech to a detector."""
    shell.extra["STTBATCH_VAD"] = "off"


ONE_LANE = ("-j", "1", "--chunk-duration", "90")


def posts(cloudru: CloudRu) -> list[Received]:
    return cloudru.received


def paid_s(cloudru: CloudRu) -> float:
    return sum(post.audio_s for post in cloudru.received)


def record(folder: Path, duration_s: float, name: str = "talk.wav", **how: Any) -> list[str]:
    folder.mkdir(exist_ok=True)
    made: list[HeardWord] = make_recording(
        folder / name, duration_s=duration_s, sample_rate=RATE, channels=1, **how
    )
    return texts(made)


def add_noise(path: Path, start_s: float, end_s: float, level: float) -> None:
    """White noise of this standard deviation, 1.0 being full scale, over a stretch of a WAV."""
    with wave.open(str(path)) as file:
        shape, data = file.getparams(), file.readframes(file.getnframes())
    samples = np.frombuffer(data, np.int16).copy()
    part = samples[int(start_s * RATE) : int(end_s * RATE)]
    part += (np.random.default_rng(5).normal(0, level, len(part)) * 32768).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams(shape)
        file.writeframes(samples.tobytes())


def audit(shell: Shell) -> dict[str, Any]:
    """What `stats` tells of audits; counts that are zero left out."""
    found: dict[str, Any] = json.loads(shell.run("stats", "--json").out)["audit"]
    gaps = {name: count for name, count in found.pop("gaps").items() if count}
    return {name: value for name, value in found.items() if value} | gaps


def clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix not in {".wav", ".mp3", ".flac"}:
            path.unlink()


def test_what_windows_lose_is_asked_for_again(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 180, "talk.mp3")
    cloudru.style = LOSSY
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE, "-f", "json")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert load(tmp_path / "talks" / "talk.json")["gaps"] == []
    assert paid_s(cloudru) <= 1.25 * 180
    assert len(posts(cloudru)) == 4
    asked_s = sum(post.audio_s for post in posts(cloudru) if post.audio_s < 28)
    findings = {"found": 2, "filled": 2, "asked_seconds": pytest.approx(asked_s)}
    assert audit(shell) == findings

    clear(tmp_path / "talks")
    again = shell.transcribe(tmp_path / "talks", *ONE_LANE, "-f", "json,srt", "--words")
    assert again.code == 0, again.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert len(posts(cloudru)) == 4
    assert audit(shell) == findings
    (line,) = (each for each in shell.run("stats").out.splitlines() if each.startswith("audit"))
    assert "2 gaps found, 2 filled" in line
    assert shell.run("stats", "--html", tmp_path / "page.html").code == 0
    assert '<svg id="audit"' in (tmp_path / "page.html").read_text("utf-8")


def test_without_the_audit_nothing_more_is_sent_and_with_it_only_what_is_missing(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 90)
    cloudru.style = LOSSY
    unaudited = shell.transcribe(tmp_path / "talks", *ONE_LANE, "--no-audit")
    assert unaudited.code == 0, unaudited.err
    assert len(words_of(tmp_path / "talks" / "talk.json")) < len(said)
    assert len(posts(cloudru)) == 1

    audited = shell.transcribe(tmp_path / "talks", *ONE_LANE)
    assert audited.code == 0, audited.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert [post.audio_s < 28 for post in posts(cloudru)] == [False, True]


@pytest.mark.slow
def test_a_share_that_is_used_up_leaves_named_gaps(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 180)
    cloudru.style = LOSSY
    # One of two gaps of 12 s may be asked for.
    shell.extra["STTBATCH_AUDIT_SHARE"] = "0.1"
    for _ in range(2):
        result = shell.transcribe(tmp_path / "talks", *ONE_LANE)
        assert result.code == 1, result.err
        assert "gaps: 1 still_missing" in result.summary
        assert paid_s(cloudru) <= 1.1 * 180 + 1
        assert len(posts(cloudru)) == 3, "what was asked for counts in later runs as well"
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert gap["reason"] == "still_missing"
    assert 10 <= gap["end"] - gap["start"] <= 14

    del shell.extra["STTBATCH_AUDIT_SHARE"]
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE)
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert len(posts(cloudru)) == 4


@pytest.mark.slow
def test_a_budget_that_is_reached_leaves_a_gap_and_exit_4(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 90)
    cloudru.style = LOSSY
    # It is no failure of the recording, which has no retry to lose.
    shell.extra["STTBATCH_JOB_RETRIES"] = "0"
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE, "--max-cost", "0.95")
    assert result.code == 4, result.err
    assert len(posts(cloudru)) == 1
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert gap["reason"] == "still_missing"
    assert "--max-cost" in gap["detail"]
    assert shell.transcribe(tmp_path / "talks", *ONE_LANE).code == 0
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert len(posts(cloudru)) == 2


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [(400, "refused", 0), pytest.param(503, "still_missing", 1, marks=pytest.mark.slow)],
)
def test_an_ask_that_fails_is_named(
    tmp_path: Path, shell: Shell, cloudru: CloudRu, status: int, reason: str, code: int
) -> None:
    said = record(tmp_path / "talks", 90)
    cloudru.style = LOSSY
    cloudru.faults = Choice(lambda post: Status(status) if post.audio_s < 28 else None)
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE, "--retries", "0")
    assert result.code == code, result.err
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert gap["reason"] == reason
    assert str(status) in gap["detail"]
    assert f"gaps: 1 {reason}" in result.summary
    assert audit(shell).items() >= {"found": 1, reason: 1}.items()
    assert len(posts(cloudru)) == 2

    cloudru.faults = None
    clear(tmp_path / "talks")
    assert shell.transcribe(tmp_path / "talks", *ONE_LANE).code == 0
    whole = words_of(tmp_path / "talks" / "talk.json") == said
    assert (whole, len(posts(cloudru))) == ((False, 2) if code == 0 else (True, 3))


@pytest.mark.slow
def test_noise_without_words_is_asked_about_once(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 90, silences=((40, 8.5),))
    add_noise(tmp_path / "talks" / "talk.wav", 40.5, 48, 0.1)
    cloudru.style = VLLM
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE, "-f", "json")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert gap["reason"] == "no_speech"
    assert (gap["start"], gap["end"]) == pytest.approx((40.5, 48), abs=0.5)
    assert [post.audio_s < 28 for post in posts(cloudru)] == [False, True]

    clear(tmp_path / "talks")
    for flags in (
        ["--words", "-f", "json,srt"],
        ["--chunk-duration", "30", "--upload-codec", "opus"],
    ):
        assert shell.transcribe(tmp_path / "talks", *flags).code == 0
        assert len(posts(cloudru)) == 2


def hallucinating(data: bytes) -> Heard:
    """In long audio a loop is heard from 20 to 32 s, and a word where there is silence."""
    heard = hear(data)
    if heard.duration_s < 28:
        return heard
    loop = [HeardWord("00aa", 20 + 0.4 * at, 20.35 + 0.4 * at) for at in range(30)]
    words = [word for word in heard.words if word.end_s <= 20 or word.start_s >= 32]
    words += [*loop, HeardWord("ffff", 72.0, 76.0)]
    return Heard(tuple(sorted(words, key=lambda word: word.start_s)), heard.duration_s)


def test_loops_and_text_over_silence_are_replaced(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 90, silences=((70, 8.5),))
    cloudru.style = VLLM
    cloudru.recognise = hallucinating
    result = shell.transcribe(tmp_path / "talks", *ONE_LANE)
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert [post.audio_s < 28 for post in posts(cloudru)] == [False, True]
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert (gap["start"], gap["end"], gap["reason"]) == (72.0, 76.0, "no_speech")
    assert audit(shell).items() >= {"loops": 1, "unfounded": 1, "filled": 1}.items()


def test_long_digital_silence_is_not_sent(tmp_path: Path, shell: Shell, cloudru: CloudRu) -> None:
    with wave.open(str(tmp_path / "silence.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 300))
    result = shell.transcribe(tmp_path / "silence.wav")
    assert result.code == 0, result.err
    assert posts(cloudru) == []
    (gap,) = load(tmp_path / "silence.json")["gaps"]
    assert (gap["start"], gap["end"], gap["reason"]) == (0.0, 300.0, "no_speech")


@pytest.mark.slow
def test_a_stretch_of_room_noise_is_not_sent(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    shell.extra["STTBATCH_VAD"] = "auto"
    said = record(tmp_path / "talks", 400, noise=0.002, silences=((60, 280),))
    result = shell.transcribe(tmp_path / "talks", "--chunk-duration", "60", "-j", "1")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert paid_s(cloudru) < 250
    (gap,) = load(tmp_path / "talks" / "talk.json")["gaps"]
    assert gap["reason"] == "no_speech"
    assert gap["end"] - gap["start"] > 150


@pytest.mark.slow
def test_answers_without_timestamps_still_make_subtitles(
    tmp_path: Path, shell: Shell, cloudru: CloudRu
) -> None:
    said = record(tmp_path / "talks", 150)
    cloudru.style = Style(refuse_verbose=True, lose=(12, 45))
    result = shell.transcribe(tmp_path / "talks", "-f", "json,srt")
    assert result.code == 0, result.err
    assert words_of(tmp_path / "talks" / "talk.json") == said
    assert all(post.audio_s <= 31 for post in posts(cloudru) if post.status == 200)
    lines = (tmp_path / "talks" / "talk.srt").read_text("utf-8").splitlines()
    cues = [line.split(" --> ") for line in lines if " --> " in line]
    lengths_s = [seconds(end) - seconds(start) for start, end in cues]
    assert max(lengths_s) <= 31
    shown = [line for line in lines if line and " --> " not in line and not line.isdecimal()]
    assert " ".join(shown).split() == said


def seconds(clock: str) -> float:
    hours, minutes, rest = clock.split(":")
    return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(",", "."))
