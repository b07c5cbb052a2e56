# ruff: noqa: RUF001 - Russian texts
"""`--replace` and `--glossary`: what outputs say, what the endpoint is told, and what is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, load, texts, words_of

from .working import endpoint_of, until_rows, working


@pytest.fixture
def talk(folder: Path) -> list[HeardWord]:
    return make_recording(folder / "talk.flac", duration_s=8, sample_rate=8_000, channels=1)


def test_rules_change_outputs_and_send_nothing(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    said, rules = texts(talk), folder.parent / "rules.txt"
    rules.write_text(f"# names\n{said[0]} {said[1]} => Нечто\n", "utf-8")
    options = (folder, "-f", "json,srt", "--words", "--log-format", "json")
    result = shell.transcribe(*options, "--replace", rules)
    assert result.code == 0, result.err
    assert json.loads(result.summary)["replaced"] == 1
    content = load(folder / "talk.json")
    assert content["text"].split() == ["Нечто", *said[2:]]
    assert content["replacements"] == [
        {"from": f"{said[0]} {said[1]}", "to": "Нечто", "count": 1}
    ]  # fmt: skip
    first = content["segments"][0]["words"][0]
    assert first["word"] == "Нечто"
    assert abs(first["end"] - talk[1].end_s) < 0.1
    written = (folder / "talk.srt").stat().st_mtime_ns

    # Comments are no rules, others rewrite what they change.
    rules.write_text(f"{said[0]} {said[1]} => Нечто\n", "utf-8")
    assert shell.transcribe(*options, "--replace", rules).code == 0
    assert (folder / "talk.srt").stat().st_mtime_ns == written
    shell.extra["STTBATCH_REPLACE"] = str(rules)
    rules.write_text(f"{said[1]} => Иное\n", "utf-8")
    again = shell.transcribe(folder, "-f", "json,srt", "--words")
    assert "1 replaced" in again.summary
    assert words_of(folder / "talk.json") == [said[0], "Иное", *said[2:]]
    del shell.extra["STTBATCH_REPLACE"]
    assert "replaced" not in shell.transcribe(folder, "-f", "json,srt", "--words").summary
    assert words_of(folder / "talk.json") == said
    assert len(endpoint_of(shell).received) == 1


def test_a_bad_file_ends_the_run_before_anything_is_sent(shell: Shell, folder: Path) -> None:
    bad = folder.parent / "bad.txt"
    bad.write_text("a => b\nc\n")
    result = shell.transcribe(folder, "--replace", bad)
    assert result.code == 2
    assert f"{bad}, line 2: write `wrong => right`" in result.err
    missing = shell.transcribe(folder, "--glossary", folder / "none.txt")
    assert (missing.code, "none.txt cannot be read" in missing.err) == (2, True), missing.err
    assert endpoint_of(shell).received == []


def test_workers_follow_the_rules_and_terms_of_an_order(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    said, rules, terms = texts(talk), folder.parent / "rules.txt", folder.parent / "terms.txt"
    rules.write_text(f"{said[0]} => other\n")
    terms.write_text("Cloud.ru\nСидоров = Sidorov\n", "utf-8")
    asked = ("--prompt", "A call.", "--glossary", terms, "--replace", rules)
    placed = shell.run("submit", folder, *asked)
    assert placed.code == 0, placed.err
    # The worker needs neither of them.
    rules.unlink()
    terms.unlink()
    with working(shell):
        until_rows(shell, "SELECT count(done_at), count(error) FROM orders", [(1, 0)])
    assert words_of(folder / "talk.json") == ["other", *said[1:]]
    (post,) = endpoint_of(shell).received
    assert post.prompt == "A call. Cloud.ru, Сидоров."


def test_terms_without_room_are_named_once(
    shell: Shell, folder: Path, talk: list[HeardWord]
) -> None:
    terms = folder.parent / "terms.txt"
    terms.write_text("".join(f"Kubernetes{number}\n" for number in range(100)))
    result = shell.transcribe(folder, "--glossary", terms)
    assert result.code == 0, result.err
    assert result.err.count("do not fit into the prompt") == 1
    (post,) = endpoint_of(shell).received
    assert post.prompt.startswith("Kubernetes0, Kubernetes1, ")
