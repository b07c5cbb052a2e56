"""The embedded engine on the recordings that the demo shows."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shell import Shell, load
from tests.speech import WORD_ERRORS_LIMIT, word_error_rate

FIXTURES = Path(__file__).parents[1] / "fixtures"


def test_speech_is_read_with_few_word_errors(home: Path, tmp_path: Path) -> None:
    """From the shortest of the recordings."""
    names = ("lectures/sleep.ogg",)
    result = Shell(home).transcribe(
        *(FIXTURES / "speech" / name for name in names),
        *("--engine", "local", "-o", tmp_path / "out", "-f", "txt,json,srt"),
    )
    assert result.code == 0, result.err
    for name in names:
        said = (FIXTURES / "texts" / f"{name}.txt").read_text("utf-8")
        found = load(tmp_path / "out" / f"{Path(name).stem}.json")
        assert word_error_rate(said, found["text"]) < WORD_ERRORS_LIMIT, found["text"]
        ends = [segment["end"] for segment in found["segments"]]
        assert max(ends) <= found["duration"] + 0.05, "no subtitle outlasts its recording"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_fixture_is_read_with_few_word_errors(home: Path, tmp_path: Path) -> None:
    shell = Shell(home)
    process = shell.start(
        *("transcribe", FIXTURES / "speech", "--engine", "local"),
        *("-o", tmp_path / "out", "-f", "txt,json,srt"),
    )
    result = shell.finish(process)
    assert result.code == 0, result.err
    measured = shell.run("eval", FIXTURES / "texts", FIXTURES / "speech", "--json")
    assert measured.code == 0, measured.err
    recordings = json.loads(measured.out)["recordings"]
    assert len(recordings) == len(list((FIXTURES / "texts").rglob("*.txt")))
    for each in recordings:
        assert each["results"][0]["wer"] < WORD_ERRORS_LIMIT, each
    for path in (tmp_path / "out").rglob("*.json"):
        found = load(path)
        ends = [segment["end"] for segment in found["segments"]]
        assert max(ends) <= found["duration"] + 0.05, "no subtitle outlasts its recording"


def test_missing_weights_say_what_to_give(home: Path, tmp_path: Path) -> None:
    (tmp_path / "no-model").mkdir()
    bread = FIXTURES / "speech" / "bread.flac"
    for model in (str(tmp_path / "no-model"), "large-v3"):
        result = Shell(home, extra={"HF_HUB_OFFLINE": "1"}).transcribe(
            bread, "--engine", "local", "--model", model, "-o", tmp_path / "out"
        )
        assert result.code == 2, result.err
        assert "model" in result.err
        assert "Traceback" not in result.err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("flite") is None, reason="needs Debian's flite")
def test_the_recordings_can_be_made_again(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, FIXTURES / "make.py", tmp_path], check=True, capture_output=True
    )
    made = {p.relative_to(tmp_path): p for p in tmp_path.rglob("*") if p.is_file()}
    kept = [p for p in (FIXTURES / "speech").rglob("*") if p.is_file()]
    assert len(kept) == len(made) > 9
    for path in kept:
        again = made[path.relative_to(FIXTURES / "speech")]
        assert abs(again.stat().st_size - path.stat().st_size) < 0.05 * path.stat().st_size
