# ruff: noqa: RUF001
"""Summaries as files: Markdown for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from sttbatch.core.timestamps import timestamp
from sttbatch.kinds.summarization.summary import (
    ACTIONS,
    DECISIONS,
    POINTS,
    QUESTIONS,
    SECTIONS,
    LostWindow,
    Statement,
    Summary,
)
from sttbatch.outputs.formats import json_pieces
from sttbatch.outputs.markdown import escaped
from sttbatch.outputs.unicode_text import encodable

SUMMARY_VERSION = 1
"""Of the form of the JSON; raised when a field changes its meaning."""

_LOST = "lost"
_UNMERGED = "unmerged"
_HEADINGS = {
    "en": {
        POINTS: "Points",
        DECISIONS: "Decisions",
        ACTIONS: "Actions",
        QUESTIONS: "Open questions",
        _LOST: "Not summarized",
        _UNMERGED: "Not merged",
    },
    "ru": {
        POINTS: "Основное",
        DECISIONS: "Решения",
        ACTIONS: "Задачи",
        QUESTIONS: "Открытые вопросы",
        _LOST: "Не вошло",
        _UNMERGED: "Не объединено",
    },
}


class SummaryDocument(Struct, frozen=True):
    """A summary, and the facts about its recording that its files contain.

    Equal documents give equal bytes.

    Attributes:
        source: the recording's display path.
        sha256: of the recording's content, in hexadecimal digits.
    """

    source: str
    sha256: str
    model: str
    summary: Summary


def markdown(document: SummaryDocument) -> Iterator[bytes]:
    """A title, a list for each section that has statements, and what the summary lacks.

    Headings are in the language of the summary if that is Russian, and else in English.
    """
    summary = document.summary
    headings = _HEADINGS.get(summary.language or "", _HEADINGS["en"])
    blocks = [f"# {escaped(summary.title or document.source)}"]
    for section in SECTIONS:
        if statements := summary.of(section):
            blocks += [f"## {headings[section]}", "\n".join(map(_bullet, statements))]
    for name, windows in ((_LOST, summary.lost), (_UNMERGED, summary.unmerged)):
        if windows:
            blocks += [f"## {headings[name]}", "\n".join(map(_missing, windows))]
    yield ("\n\n".join(blocks) + "\n").encode()


def json(document: SummaryDocument) -> Iterator[bytes]:
    """Everything: `segments` are ids as in the transcript's json, times are seconds."""
    summary = document.summary
    content: dict[str, object] = {
        "version": SUMMARY_VERSION,
        "source": encodable(document.source),
        "sha256": document.sha256,
        "model": encodable(document.model),
        "style": str(summary.style),
        "language": summary.language,
        "title": encodable(summary.title),
    }
    for section in summary.style.sections:
        content[section] = [_statement(statement) for statement in summary.of(section)]
    content["left_out"] = dict(summary.left_out)
    content[_LOST] = [_window(each) for each in summary.lost]
    if summary.unmerged:
        content[_UNMERGED] = [_window(each) for each in summary.unmerged]
    return json_pieces(content)


FORMATS = {"md": markdown, "json": json}


def _bullet(statement: Statement) -> str:
    text = f"- [{timestamp(statement.time_s)}] {escaped(statement.text)}"
    facts = ", ".join(_facts(statement))
    return f"{text} — {facts}" if facts else text


def _facts(statement: Statement) -> Iterator[str]:
    if statement.who is not None:
        yield f"**{escaped(statement.who)}**"
    if statement.when is not None:
        yield escaped(statement.when)


def _missing(window: LostWindow) -> str:
    return f"- {timestamp(window.start_s)} – {timestamp(window.end_s)}: {escaped(window.reason)}"


def _statement(statement: Statement) -> dict[str, object]:
    if statement.section == ACTIONS:
        facts: dict[str, object] = {
            "what": encodable(statement.text),
            "who": None if statement.who is None else encodable(statement.who),
            "when": None if statement.when is None else encodable(statement.when),
        }
    else:
        facts = {"text": encodable(statement.text)}
    return {
        **facts,
        "time_s": round(statement.time_s, 3),
        "segments": [each - 1 for each in statement.segments],
    }


def _window(window: LostWindow) -> dict[str, object]:
    return {
        "start_s": round(window.start_s, 3),
        "end_s": round(window.end_s, 3),
        "reason": encodable(window.reason),
    }
