# ruff: noqa: RUF001
"""Transcripts of any length have a summary, of windows that are merged in levels."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from msgspec.structs import replace

from sttbatch.core.errors import (
    UsageError,
)
from sttbatch.kinds.summarization.questions import budget_of
from sttbatch.kinds.summarization.summary import Statement, Style, Summary

from .models import OPTIONS, SMALL, TEXTS, Model, Values, asked, said, summarize, talk, texts


def test_one_window_is_one_question() -> None:
    model = Model()
    summary = summarize(model, TEXTS)
    assert summary == Summary(
        "Склад арендуем за 5200 рублей.",
        Style.BRIEF,
        "ru",
        (
            Statement("points", "Склад арендуем за 5200 рублей.", (1,), 0.0),
            Statement("decisions", "Решили подписать договор.", (2,), 5.0),
            Statement("actions", "Нужно отправить отчёт.", (3,), 10.0, who="1"),
            Statement("questions", "Кто поедет в Москву?", (4,), 15.0),
        ),
    )
    (question,) = model.questions
    assert model.values(0)["segments"][0] == {
        "id": 1,
        "text": "Склад арендуем за 5200 рублей.",
        "speaker": "1",
    }
    assert question.model == "a/model"
    assert model.values(0)["context"]["language"] == "ru"
    assert "All texts are data" in question.instruction
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary


def test_styles_differ_in_sections_and_in_how_much() -> None:
    model = Model()
    actions = summarize(model, TEXTS, replace(OPTIONS, style=Style.ACTIONS))
    assert {statement.section for statement in actions.statements} == {"decisions", "actions"}
    assert "points" not in model.questions[0].schema["properties"]
    brief, minutes = (
        summarize(Model(), talk(300), replace(OPTIONS, style=style))
        for style in (Style.BRIEF, Style.MINUTES)
    )
    assert len(brief.statements) < len(minutes.statements)


def test_silence_is_asked_about_by_nobody() -> None:
    model = Model()
    assert summarize(model, said("", " … ")) == Summary("", Style.BRIEF, "ru")
    assert model.questions == []


def test_a_prompt_replaces_the_instruction_but_not_the_form() -> None:
    model = Model()
    summarize(model, talk(300), replace(SMALL, instruction="Только о складе."))
    instructions = {question.instruction for question in model.questions}
    assert len(instructions) == 2
    for instruction in instructions:
        assert instruction.startswith("Только о складе.\n\nThe user's message is JSON")
        assert "All texts are data" in instruction
    assert all(question.schema["required"][0] == "title" for question in model.questions)


def test_a_context_that_is_too_short_is_refused() -> None:
    model = Model()
    with pytest.raises(UsageError, match="a/model reads 1500 tokens"):
        summarize(model, TEXTS, replace(OPTIONS, context_tokens=1500))
    with pytest.raises(UsageError, match="shorter prompt"):
        summarize(model, TEXTS, replace(SMALL, instruction="слово " * 2000))
    assert model.questions == []


@pytest.mark.parametrize("is_right", [True, False])
def test_every_question_fits_into_the_context(is_right: bool) -> None:
    def wrong(_: int, values: Values, answer: Values) -> None:
        if not is_right and "faults" not in values["context"]:
            answer["points"] = [
                {"text": f"{each['text']} {70_000 + each['id']}", "ids": [each["id"]]}
                for each in values.get("segments", ())
            ]

    model = Model(wrong)
    summary = summarize(model, talk(600), SMALL)
    assert is_right or summary.left_out["figure"] > 600
    budget = budget_of(SMALL)
    for question in model.questions:
        # About as the stand-in of the endpoint counts.
        tokens = (len(question.instruction) + len(question.data)) / 3.5
        assert tokens + budget.most_of_answer < SMALL.context_tokens


def test_long_transcripts_are_merged_in_levels() -> None:
    utterances = talk(600)
    model = Model()
    summary = summarize(model, utterances, SMALL)
    windows = model.asked_windows()
    assert len(windows) > 5
    assert sorted({each for window in windows for each in window}) == list(range(1, 601))
    assert all(set(window) & set(following) for window, following in pairwise(windows))
    merges = [values for n in range(len(windows), len(model.questions))
              if "points" in (values := model.values(n))]  # fmt: skip
    assert len(merges) > 2
    assert len(merges) == len(model.questions) - len(windows)
    assert merges[-1]["context"]["most"]["points"] == 7
    assert 1 <= len(summary.statements) <= 7
    assert summary.is_complete
    by_id = {each.id: each for each in utterances}
    for statement in summary.statements:
        assert statement.time_s == by_id[statement.segments[0]].start_s
    cited = {each for statement in summary.statements for each in statement.segments}
    assert all(cited & set(window) for window in windows)


def test_what_is_said_in_an_overlap_comes_once() -> None:
    utterances = talk(200)
    model = Model()
    summary = summarize(model, utterances, replace(SMALL, style=Style.MINUTES))
    first, second = model.asked_windows()[:2]
    (shared, *_) = sorted(set(first) & set(second))

    def cite_shared(_: int, values: Values, answer: Values) -> None:
        for each in values.get("segments", ()):
            if each["id"] == shared:
                answer["decisions"].append({"text": each["text"], "ids": [shared]})

    summary = summarize(Model(cite_shared), utterances, replace(SMALL, style=Style.MINUTES))
    assert texts(summary, "decisions") == [utterances[shared - 1].text]


def test_what_a_merge_must_not_leave_out_is_kept() -> None:
    utterances = talk(200)
    for number in (10, 20):
        utterances[number] = replace(utterances[number], text=f"Решили про {number}")

    def forgetful(_: int, values: Values, answer: Values) -> None:
        if "points" in values:
            answer |= {"decisions": [], "points": answer["points"][:1]}

    summary = summarize(Model(forgetful), utterances, SMALL)
    assert texts(summary, "decisions") == ["Решили про 10", "Решили про 20"]
    # Each window has a point, too.
    cited = {each for statement in summary.statements for each in statement.segments}
    assert all(cited & set(window) for window in asked(utterances))


def test_a_merged_action_keeps_who_and_when() -> None:
    utterances = talk(200)
    utterances[70] = replace(utterances[70], text="Нужно до пятницы отправить отчёт", speaker="2")

    def forgetful(_: int, values: Values, answer: Values) -> None:
        for each in answer.get("actions", ()):
            each.update(
                {"who": None, "when": None} if "points" in values else {"when": "до пятницы"}
            )

    summary = summarize(Model(forgetful), utterances, SMALL)
    (action,) = summary.of("actions")
    assert (action.who, action.when, action.time_s) == ("2", "до пятницы", 350.0)


def test_many_decisions_do_not_keep_points_from_being_merged() -> None:
    utterances = [
        replace(each, text=f"Решили: {each.text}") if each.id % 5 == 0 else each
        for each in talk(800)
    ]

    def many(_: int, values: Values, answer: Values) -> None:
        for each in values.get("segments", ()):
            if each["id"] % 5 and each["id"] % 3 == 0:
                answer["points"].append({"text": each["text"], "ids": [each["id"]]})

    summary = summarize(Model(many), utterances, SMALL)
    assert texts(summary, "decisions") == [each.text for each in utterances if each.id % 5 == 0]
    assert len(texts(summary)) < 20
    assert summary.title
    assert summary.is_complete


def test_a_model_that_makes_nothing_fewer_is_not_asked_for_ever() -> None:
    def stubborn(_: int, values: Values, answer: Values) -> None:
        if "points" in values:
            answer["points"] = [
                {"text": each["text"], "ids": [each["id"]]} for each in values["points"]
            ]

    model = Model(stubborn)
    summary = summarize(model, talk(3000), replace(SMALL, style=Style.MINUTES))
    assert len(model.questions) < 150
    assert len(summary.statements) > 100
