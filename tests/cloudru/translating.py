"""A chat model that translates: it says every line with another spelling of its words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from .models import Asked, Said

Entries = list[dict[str, Any]]


def translated(text: str) -> str:
    """What the model makes of a line; it keeps figures and length, as translations do."""
    return " ".join(f"{word}s" for word in text.split())


class TranslatingModel:
    """Translates, and then does what `wrong` does to the answer of a question."""

    def __init__(
        self, wrong: Callable[[int, Entries], Said | None] = lambda number, entries: None
    ) -> None:
        self.wrong = wrong
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked) -> Said:
        self.asked.append(asked)
        entries = [
            {"id": each["id"], "text": translated(each["text"])}
            for each in asked.values["segments"]
        ]
        said = self.wrong(len(self.asked) - 1, entries)
        return said if said is not None else Said(answer_of(entries))

    @property
    def ids(self) -> list[list[int]]:
        """The ids of the lines in each question."""
        return [[each["id"] for each in asked.values["segments"]] for asked in self.asked]


def answer_of(entries: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"segments": entries}, ensure_ascii=False)
