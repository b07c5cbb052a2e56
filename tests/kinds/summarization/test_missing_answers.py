"""Where a model gives no answer, a summary names what it lacks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import (
    BudgetReached,
    ChunkError,
    ChunkHindered,
    ChunkTooLarge,
    Stopped,
)
from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.kinds.summarization.summarizer import Summarizer
from sttbatch.kinds.summarization.summary import LostWindow

from .models import OPTIONS, SMALL, TEXTS, Model, Values, asked, summarize, talk

NOTHING = ChatAnswer("", "stop")
THOUGHT = ChatAnswer("", "length")
CUT_OFF = ChatAnswer('{"title": "Склад", "points": [{"text": "Склад", "ids": [1]}, {"te', "length")
PROSE = ChatAnswer("Here is nothing but prose.", "stop")


def answers(*said_by_model: ChatAnswer | None) -> Model:
    """A model that says these, then the truth."""

    def wrong(number: int, _: Values, __: Values) -> ChatAnswer | None:
        return said_by_model[number] if number < len(said_by_model) else None

    return Model(wrong)


def raising(error: Exception, when: Any) -> Model:
    def wrong(number: int, values: Values, _: Values) -> None:
        if when(number, values):
            raise error

    return Model(wrong)


@pytest.mark.parametrize(
    ("answer", "tokens"), [(NOTHING, 2), (THOUGHT, 2), (CUT_OFF, 2), (PROSE, 1)]
)
def test_what_cannot_be_read_is_asked_for_once_more(answer: ChatAnswer, tokens: int) -> None:
    model = answers(answer)
    summary = summarize(model, TEXTS)
    assert summary.is_complete
    assert len(summary.statements) == 4
    first, second = model.questions
    assert second != first
    assert second.max_tokens == tokens * first.max_tokens


@pytest.mark.parametrize(
    "said_by_model",
    [
        "```json\n{}\n```",
        "Here it is:\n{}\nI hope that helps!",
        "<think>Is it {{this}}?</think>\n{}",
    ],
)
def test_json_is_found_in_what_surrounds_it(said_by_model: str) -> None:
    def wrong(_: int, __: Values, answer: Values) -> str:
        return said_by_model.format(json.dumps(answer, ensure_ascii=False))

    model = Model(wrong)
    assert len(summarize(model, TEXTS).statements) == 4
    assert len(model.questions) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NOTHING, "the model answered nothing"),
        (PROSE, "the model's answer cannot be read: Here is nothing but prose."),
        (ChatAnswer("", "refusal"), "the model refuses to answer (refusal)"),
        (ChatAnswer("", "content_filter"), "the model refuses to answer (content_filter)"),
    ],
)
def test_a_window_without_an_answer_is_lost_and_named(answer: ChatAnswer, reason: str) -> None:
    utterances = talk(200)
    (_, second, *_) = windows = asked(utterances)

    def wrong(_: int, values: Values, __: Values) -> ChatAnswer | None:
        segments = values.get("segments", ())
        return answer if [each["id"] for each in segments] == second else None

    model = Model(wrong)
    summary = summarize(model, utterances, SMALL)
    asked_about = model.asked_windows().count(second)
    assert asked_about == (1 if answer.finish in {"refusal", "content_filter"} else 2)
    start_s, end_s = 5.0 * second[0] - 5.0, 5.0 * second[-1]
    assert summary.lost == (LostWindow(start_s, end_s, reason),)
    assert not summary.is_complete
    cited = {each for statement in summary.statements for each in statement.segments}
    assert all(cited & set(window) for window in windows if window != second)


def test_a_window_whose_answer_is_always_cut_off_is_halved() -> None:
    def wrong(_: int, values: Values, __: Values) -> ChatAnswer | None:
        return CUT_OFF if len(values.get("segments", ())) > 2 else None

    model = Model(wrong)
    summary = summarize(model, TEXTS)
    assert summary.is_complete
    assert len(summary.statements) == 4
    assert model.asked_windows() == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2], [3, 4]]
    always = Model(lambda _number, _values, _answer: CUT_OFF)
    summary = summarize(always, TEXTS)
    assert {lost.reason for lost in summary.lost} == {"the model's answer was cut off"}
    assert (summary.lost[0].start_s, summary.lost[-1].end_s) == (0.0, 20.0)
    assert len(always.questions) < 32


def test_a_chunk_error_loses_its_window_and_no_other() -> None:
    first = asked(utterances := talk(200))[0]

    def is_first(_: int, values: Values) -> bool:
        return [each["id"] for each in values.get("segments", ())] == first

    for error, is_hindered in ((ChunkError("HTTP 400"), False), (ChunkHindered("429"), True)):
        summary = summarize(raising(error, is_first), utterances, SMALL)
        (lost,) = summary.lost
        assert (lost.start_s, lost.end_s) == (0.0, 5.0 * first[-1])
        assert (lost.reason, lost.is_hindered) == (str(error), is_hindered)
        assert summary.statements


def test_what_is_too_large_is_halved() -> None:
    model = raising(ChunkTooLarge("413"), lambda _, values: len(values.get("segments", ())) > 2)
    assert summarize(model, TEXTS).is_complete
    assert model.asked_windows() == [[1, 2, 3, 4], [1, 2], [3, 4]]


@pytest.mark.parametrize("error", [BudgetReached("--max-cost"), Stopped()])
def test_other_errors_end_the_summary_after_what_is_in_flight(error: Exception) -> None:
    begun, ended = 0, 0

    async def answer(question: Question) -> ChatAnswer:
        nonlocal begun, ended
        begun += 1
        if begun == 3:
            raise error
        await asyncio.sleep(0)
        ended += 1
        return ChatAnswer('{"points": []}', "stop")

    with pytest.raises(type(error)):
        asyncio.run(Summarizer(answer, replace(OPTIONS, context_tokens=2800)).summarize(talk(4000)))
    assert begun == ended + 1
    assert begun < 20


@pytest.mark.parametrize("how", ["error", "prose", "nothing"])
def test_what_cannot_be_merged_stays_as_it_was_found_and_is_named(how: str) -> None:
    def wrong(_: int, values: Values, answer: Values) -> ChatAnswer | None:
        if "segments" in values:
            return None
        if how == "error":
            raise ChunkError("timed out")
        answer |= dict.fromkeys(answer, ())
        return PROSE if how == "prose" else None

    summary = summarize(Model(wrong), talk(200), SMALL)
    assert summary.lost == ()
    assert (summary.unmerged[0].start_s, summary.unmerged[-1].end_s) == (0.0, 1000.0)
    assert not summary.is_complete
    assert len(summary.statements) > 12
