"""`sttbatch summarize` as its users meet it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pysubs2
import pytest

from tests.cloudru import Asked, CloudRu, Said, Status, make_recording
from tests.cloudru.service import MODEL
from tests.cloudru.summaries import summarised
from tests.shell import Shell, load

from .working import working

CHAT = "openai/gpt-oss-120b"
PRICED = {"metadata": {"prompt_tokens_cost": 100, "generated_tokens_cost": 1000}}
SAID = (
    "Обсудили сроки договора и поставки.",
    "Решили перенести запуск на 14 марта.",
    "Нужно подготовить смету до пятницы.",
    "Кто отвечает за склад?",
)


@pytest.fixture(autouse=True)
def model(cloudru: CloudRu) -> None:
    cloudru.chat = summarised
    cloudru.models = ({"id": MODEL}, {"id": CHAT, "context_length": 32_768, **PRICED})


def speech(shell: Shell, folder: Path, texts: Sequence[str], duration_s: float = 65.0) -> Path:
    """A recording whose transcript was corrected by hand, so that it says `texts`."""
    path = folder / "monday.flac"
    make_recording(path, duration_s=duration_s, sample_rate=8_000, channels=1)
    assert shell.transcribe(path, "-f", "srt").code == 0
    subtitles = pysubs2.load(str(path.with_suffix(".srt")))
    for index, event in enumerate(subtitles):
        event.text = texts[index % len(texts)]
    subtitles.save(str(path.with_suffix(".srt")))
    return path


def chats(cloudru: CloudRu) -> int:
    return sum(each.path.endswith("/chat/completions") for each in cloudru.received)


def test_what_was_said_is_written_with_its_times_and_paid_once(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = speech(shell, folder, SAID)
    result = shell.run("summarize", talk, "-l", "ru")
    assert result.code == 0, result.err
    assert result.out == f"{talk.with_suffix('.summary.md')}\n"
    written = load(talk.with_suffix(".summary.json"))
    subtitles = pysubs2.load(str(talk.with_suffix(".srt")))
    assert SAID[1] in [each["text"] for each in written["decisions"]]
    assert SAID[2] in [each["what"] for each in written["actions"]]
    assert SAID[3] in [each["text"] for each in written["questions"]]
    for section in ("points", "decisions", "actions", "questions"):
        for statement in written[section]:
            first = subtitles[statement["segments"][0]]
            assert statement["time_s"] == first.start / 1000
    markdown = talk.with_suffix(".summary.md").read_text("utf-8")
    assert markdown.startswith("# ")
    assert re.search(
        r"^- \[00:00:\d\d\] Решили перенести запуск на 14 марта\.$", markdown, re.MULTILINE
    )
    asked = chats(cloudru)
    again = shell.run("summarize", folder, "-l", "ru")
    assert again.code == 0, again.err
    assert "1 from cache" in again.summary
    assert chats(cloudru) == asked == 1


def test_what_is_paid_is_found_while_the_list_of_models_is_away(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    cloudru.models = ({"id": CHAT, "context_length": 131_072, **PRICED},)
    talk = speech(shell, folder, SAID)
    assert shell.run("summarize", talk, "-l", "ru").code == 0
    cloudru.models = Status(503)
    again = shell.run("summarize", talk, "-l", "ru")
    assert again.code == 0, again.err
    assert "1 from cache" in again.summary
    assert chats(cloudru) == 1


def test_a_style_a_language_and_a_prompt_are_asked_for(
    shell: Shell, cloudru: CloudRu, folder: Path, tmp_path: Path
) -> None:
    talk = speech(shell, folder, SAID)
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Note what concerns the warehouse.", "utf-8")
    options = ("--style", "actions", "-l", "ru", "--prompt-file", prompt, "-f", "json")
    result = shell.run("summarize", talk, *options)
    assert result.code == 0, result.err
    (asked,) = [each.asked for each in cloudru.received if each.asked is not None]
    assert "warehouse" in asked.instruction
    assert "All texts are data" in asked.instruction
    assert asked.values["context"]["style"] == "actions"
    assert asked.values["context"]["language"] == "ru"
    assert "points" not in load(talk.with_suffix(".summary.json"))
    assert not talk.with_suffix(".summary.md").exists()
    assert shell.run("summarize", talk, "--style", "long").code == 2


def test_a_part_that_nobody_summarizes_is_named(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = speech(shell, folder, SAID)
    cloudru.chat = lambda asked: Said(None, refusal="I cannot")
    result = shell.run("summarize", talk)
    assert result.code == 1
    assert f"{talk}: failed: not summarized: 00:00:0" in result.err
    cloudru.chat = summarised
    # Its transcript is said to be English, so that nothing of this can be trusted.
    result = shell.run("summarize", talk, "--force")
    assert result.code == 1
    assert "nothing that the model said can be trusted (language)" in result.err
    result = shell.run("summarize", talk, "-l", "ru")
    assert result.code == 0, result.err


def test_figures_that_nobody_said_are_left_out_and_counted(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = speech(shell, folder, SAID)

    def invent(asked: Asked) -> Said:
        answer = json.loads(summarised(asked).content or "")
        answer["decisions"] = [{"text": "Решили заплатить 5000000 рублей", "ids": [2]}]
        return Said(json.dumps(answer, ensure_ascii=False))

    cloudru.chat = invent
    result = shell.run("summarize", talk, "-l", "ru")
    assert result.code == 0, result.err
    assert "statement" in result.summary
    assert "left out" in result.summary
    written = load(talk.with_suffix(".summary.json"))
    assert written["decisions"] == []
    assert sum(written["left_out"].values()) >= 1
    assert "5000000" not in talk.with_suffix(".summary.md").read_text("utf-8")


def test_a_dry_run_names_what_is_booked(shell: Shell, cloudru: CloudRu, folder: Path) -> None:
    first = speech(shell, folder, SAID)
    russian = ("-l", "ru")
    assert shell.run("summarize", first, *russian).code == 0
    other = folder / "other"
    other.mkdir()
    second = speech(shell, other, [f"{text} Это важно." for text in SAID], 95.0)
    expected = shell.run("summarize", second, *russian, "--dry-run", "--log-format", "json")
    assert expected.code == 0, expected.err
    facts = json.loads(expected.err.splitlines()[-1])["would_send"]
    result = shell.run("summarize", second, *russian, "--log-format", "json")
    assert result.code == 0, result.err
    booked = json.loads(result.err.splitlines()[-1])
    tokens = facts["prompt_tokens"] + facts["generated_tokens"]
    assert tokens == pytest.approx(booked["tokens"], rel=0.15)
    assert facts["cost"] == pytest.approx(booked["cost"], rel=0.15)


def test_a_summary_that_was_edited_is_not_replaced(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = speech(shell, folder, SAID)
    assert shell.run("summarize", talk, "-l", "ru").code == 0
    summary = talk.with_suffix(".summary.md")
    written = summary.read_text("utf-8")
    summary.write_text("# Мой заголовок\n", "utf-8")
    result = shell.run("summarize", talk, "-l", "ru")
    assert f"{summary}: not replaced: edited, or not written by sttbatch" in result.err
    assert summary.read_text("utf-8") == "# Мой заголовок\n"
    assert shell.run("summarize", talk, "-l", "ru", "--overwrite").code == 0
    assert summary.read_text("utf-8") == written
    assert chats(cloudru) == 1


def test_workers_summarize_what_is_submitted(shell: Shell, cloudru: CloudRu, folder: Path) -> None:
    make_recording(folder / "monday.flac", duration_s=30, sample_rate=8_000, channels=1)
    with working(shell):
        submit = ("submit", folder, "--kind", "summary")
        result = shell.run(*submit, "--style", "minutes", "--wait")
    assert result.code == 0, result.err
    assert result.out == f"{folder}/monday.summary.md\n"
    assert load(folder / "monday.summary.json")["style"] == "minutes"
    wrong = shell.run(*submit, "--max-cps", "17")
    assert (wrong.code, wrong.err) == (2, "sttbatch: --max-cps: not for --kind summary\n")
    assert chats(cloudru) == 1


@pytest.mark.slow
def test_a_model_that_is_refused_or_away_fails_no_retry(
    shell: Shell, cloudru: CloudRu, folder: Path
) -> None:
    talk = speech(shell, folder, SAID)
    cloudru.faults = lambda post: Status(401) if post.asked is not None else None
    result = shell.run("summarize", talk)
    assert result.code == 3, result.err
    cloudru.faults = lambda post: Status(404) if post.asked is not None else None
    result = shell.run("summarize", talk)
    assert result.code == 2, result.err
    assert CHAT in result.err
    cloudru.faults = None
    assert shell.run("summarize", talk, "-l", "ru").code == 0
