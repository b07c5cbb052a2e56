"""A chat model that summarizes honestly: it says what segments say, word for word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .models import Asked, Said

DECIDED, TO_DO = ("Решили", "We decided"), ("Нужно", "Please")
_TITLE_WORDS, _IDS = 5, 3


def summarised(asked: Asked) -> Said:
    """For `Service.chat`."""
    return Said(json.dumps(summary_of(asked.values), ensure_ascii=False))


def summary_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to the data of a question, about segments or about statements to be merged.

    Decisions and actions are segments that begin with DECIDED or TO_DO, questions end with a
    question mark; points are every n-th of the others, as many as are allowed. Merged are points
    that are neighbours, with the text of the first. Nothing is corrected.
    """
    most: Mapping[str, int] = values["context"]["most"]
    answer: dict[str, Any] = {"title": "", **{section: [] for section in most}}
    if "faults" in values["context"]:
        return answer
    statements = dict.fromkeys(most, ()) | (
        _found(values["segments"]) if "segments" in values else _known(values)
    )
    for section in most:
        answer[section] = list(statements[section])
    if "points" in most:
        ids = _IDS if "segments" in values else None
        answer["points"] = _fewer(answer["points"], most["points"], ids)
    texts = [entry["text"] for entries in statements.values() for entry in entries]
    answer["title"] = " ".join(texts[0].split()[:_TITLE_WORDS]) if texts else ""
    return answer


def _found(segments: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    statements: dict[str, list[dict[str, Any]]] = {
        section: [] for section in ("points", "decisions", "actions", "questions")
    }
    for segment in segments:
        statement: dict[str, Any] = {"text": segment["text"], "ids": [segment["id"]]}
        if segment["text"].startswith(DECIDED):
            statements["decisions"].append(statement)
        elif segment["text"].startswith(TO_DO):
            statements["actions"].append({**statement, "who": segment.get("speaker"), "when": None})
        elif segment["text"].endswith("?"):
            statements["questions"].append(statement)
        else:
            statements["points"].append(statement)
    return statements


def _known(values: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {
        section: [
            {**{name: each[name] for name in each if name != "id"}, "ids": [each["id"]]}
            for each in entries
        ]
        for section, entries in values.items()
        if section != "context"
    }


def _fewer(points: Sequence[dict[str, Any]], most: int, ids: int | None) -> list[dict[str, Any]]:
    """At most so many points, of which each has so many ids of those up to the next; None: all."""
    step = max(-(-len(points) // most), 1) if most else 1
    groups = [points[at : at + step] for at in range(0, len(points), step)]
    return [
        {**group[0], "ids": [each for point in group for each in point["ids"]][:ids]}
        for group in groups
    ]
