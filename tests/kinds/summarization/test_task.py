"""The task of a summary: a transcript as it is stored, and what a model says of it."""

from __future__ import annotations

import asyncio

import pytest

from sttbatch.core.models import Segment, Transcript
from sttbatch.kinds.language.spoken_text import SpokenText
from sttbatch.kinds.summarization.kind import task_of
from sttbatch.kinds.summarization.summary import SummaryOptions
from sttbatch.kinds.summarization.task import SummaryTask

from .models import Model, texts

SAID = SpokenText("", Transcript(5.0, "ru", (Segment("Обсудили сроки.", 0.0, 5.0),), ()))


@pytest.mark.parametrize(
    ("name", "code"),
    [("ru", "ru"), ("russian", "ru"), ("Russian", "ru"), ("ru-RU", "ru"), ("uzbek", None)],
)
def test_a_language_may_be_called_by_its_name(name: str, code: str | None) -> None:
    said = "Обсудили сроки договора на поставку."
    transcript = Transcript(5.0, name, (Segment(said, 0.0, 5.0),), ())
    task = SummaryTask(SummaryOptions("a/model", 32_000))
    summary = asyncio.run(task.run(SpokenText("", transcript), Model().answer))
    assert summary.language == code
    assert texts(summary) == [said]
    assert summary.is_complete


def test_terms_are_asked_for_and_change_nothing_where_there_are_none() -> None:
    plain, spelled = (
        SummaryOptions("a/model", 32_000),
        SummaryOptions("a/model", 32_000, terms=("Cloud.ru",)),
    )
    (before,), (asked,) = ([*SummaryTask(each).expected(SAID)] for each in (plain, spelled))
    assert asked.question.instruction.startswith(before.question.instruction)
    assert asked.question.instruction.endswith('write it so: ["Cloud.ru"]')
    assert "terms" not in SummaryTask(plain).facts()["settings"]
    assert task_of(SummaryTask(spelled).options()) == SummaryTask(spelled)


def test_more_context_than_is_used_makes_no_other_result() -> None:
    facts = [SummaryTask(SummaryOptions("a/model", size)).facts() for size in (32_768, 131_072)]
    assert facts[0] == facts[1]
    assert SummaryTask(SummaryOptions("a/model", 12_000)).facts() != facts[0]
