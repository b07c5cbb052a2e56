# ruff: noqa: RUF001
"""Files of a summary show what was said as it was said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sttbatch.kinds.summarization.rendering import SummaryDocument, markdown
from sttbatch.kinds.summarization.rendering import json as as_json
from sttbatch.kinds.summarization.summary import LostWindow, Statement, Style, Summary

STATEMENTS = (
    Statement("points", "Склад стоит 5200", (145, 146), 724.9),
    Statement("decisions", "Подписать договор", (3,), 10.0),
    Statement("actions", "Отправить отчёт", (7,), 36000.5, who="Ольга", when="до пятницы"),
    Statement("actions", "Позвонить", (8,), 40.0),
    Statement("questions", "Кто едет?", (9,), 45.0),
)
SUMMARY = Summary(
    "Планёрка",
    Style.BRIEF,
    "ru",
    STATEMENTS,
    {"figure": 2},
    (LostWindow(724.0, 1211.0, "the model answered nothing"),),
)
DOCUMENT = SummaryDocument("talks/monday.mp3", "f" * 64, "a/model", SUMMARY)


def made(form: Callable[[SummaryDocument], Iterator[bytes]], document: SummaryDocument) -> str:
    return b"".join(form(document)).decode()


def with_text(text: str) -> SummaryDocument:
    summary = Summary(text, Style.BRIEF, "en", (Statement("points", text, (1,), 0.0),))
    return SummaryDocument("a.mp3", "", "a/model", summary)


def test_markdown() -> None:
    assert made(markdown, DOCUMENT) == (
        "# Планёрка\n"
        "\n"
        "## Основное\n"
        "\n"
        "- [00:12:04] Склад стоит 5200\n"
        "\n"
        "## Решения\n"
        "\n"
        "- [00:00:10] Подписать договор\n"
        "\n"
        "## Задачи\n"
        "\n"
        "- [10:00:00] Отправить отчёт — **Ольга**, до пятницы\n"
        "- [00:00:40] Позвонить\n"
        "\n"
        "## Открытые вопросы\n"
        "\n"
        "- [00:00:45] Кто едет?\n"
        "\n"
        "## Не вошло\n"
        "\n"
        "- 00:12:04 – 00:20:11: the model answered nothing\n"
    )


def test_headings_of_other_languages_are_english_and_a_title_is_never_missing() -> None:
    for language in ("de", None):
        summary = Summary("", Style.BRIEF, language, STATEMENTS[1:2])
        text = made(markdown, SummaryDocument("a_b.mp3", "", "a/model", summary))
        assert text == "# a\\_b.mp3\n\n## Decisions\n\n- [00:00:10] Подписать договор\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2 * 3 _ok_ `x` [a](b) <b> #1 | ~~no~~ & $5$ \\n",
         r"2 \* 3 \_ok\_ \`x\` \[a\](b) \<b\> \#1 \| \~\~no\~\~ \& \$5\$ \\n"),
        ("one\ntwo\u2028three\t four", "one two three four"),
        ("bell\x07 escape\x1b[31m del\x7f csi\x9b1m\ufeff", r"bell escape\[31m del csi1m"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("- 1. + plain!", "- 1. + plain!"),
    ],
)  # fmt: skip
def test_what_was_said_is_shown_as_it_is(text: str, shown: str) -> None:
    expected = f"# {shown}\n\n## Points\n\n- [00:00:00] {shown}\n"
    assert made(markdown, with_text(text)) == expected


def test_json() -> None:
    content: dict[str, Any] = json.loads(made(as_json, DOCUMENT))
    assert content == {
        "version": 1,
        "source": "talks/monday.mp3",
        "sha256": "f" * 64,
        "model": "a/model",
        "style": "brief",
        "language": "ru",
        "title": "Планёрка",
        "points": [{"text": "Склад стоит 5200", "time_s": 724.9, "segments": [144, 145]}],
        "decisions": [{"text": "Подписать договор", "time_s": 10.0, "segments": [2]}],
        "actions": [
            {
                "what": "Отправить отчёт",
                "who": "Ольга",
                "when": "до пятницы",
                "time_s": 36000.5,
                "segments": [6],
            },
            {"what": "Позвонить", "who": None, "when": None, "time_s": 40.0, "segments": [7]},
        ],
        "questions": [{"text": "Кто едет?", "time_s": 45.0, "segments": [8]}],
        "left_out": {"figure": 2},
        "lost": [{"start_s": 724.0, "end_s": 1211.0, "reason": "the model answered nothing"}],
    }
    assert list(content)[:2] == ["version", "source"]


def test_json_is_safe_to_print_and_has_the_sections_of_its_style() -> None:
    encoded = made(as_json, with_text("csi\x9b1m \x1b \x7f \ud83d"))
    assert json.loads(encoded)["points"][0]["text"] == "csi\x9b1m \x1b \x7f \ufffd"
    assert not any(byte in encoded for byte in "\x9b\x1b\x7f")
    actions = Summary("", Style.ACTIONS, None, unmerged=(LostWindow(0.0, 5.0, "timed out"),))
    content = json.loads(made(as_json, SummaryDocument("a.mp3", "", "a/model", actions)))
    assert "points" not in content
    assert content["actions"] == []
    assert content["unmerged"] == [{"start_s": 0.0, "end_s": 5.0, "reason": "timed out"}]
