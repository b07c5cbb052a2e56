"""What a summary will ask is known before it is paid for."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.language_models import Question
from sttbatch.kinds.language.token_estimates import most_tokens
from sttbatch.kinds.summarization.estimates import expected_questions
from sttbatch.kinds.summarization.summary import Style

from .models import OPTIONS, Model, said, summarize, talk


def about_windows(questions: list[Question]) -> list[Question]:
    return [question for question in questions if "segments" in json.loads(question.data)]


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize(("count", "context_tokens"), [(4, 32_000), (900, 32_000), (400, 5000)])
def test_questions_about_windows_are_those_that_will_be_asked(
    style: Style, count: int, context_tokens: int
) -> None:
    options = replace(OPTIONS, style=style, context_tokens=context_tokens)
    model = Model()
    summarize(model, talk(count), options)
    expected = expected_questions(talk(count), options)
    windows = about_windows([question for question, _ in expected])
    assert windows == about_windows(model.questions)
    assert (len(expected) > len(windows)) == (len(windows) > 1)
    assert all(0 < tokens <= question.max_tokens for question, tokens in expected)


@pytest.mark.parametrize(("count", "context_tokens"), [(900, 32_000), (2000, 8000)])
def test_prompts_are_estimated_well_enough(count: int, context_tokens: int) -> None:
    options = replace(OPTIONS, context_tokens=context_tokens)
    model = Model()
    summarize(model, talk(count), options)
    asked = sum(most_tokens(question).prompt for question in model.questions)
    expected = expected_questions(talk(count), options)
    assert sum(most_tokens(question).prompt for question, _ in expected) == pytest.approx(
        asked, rel=0.2
    )


def test_what_cannot_be_asked_is_refused() -> None:
    assert expected_questions(said(""), OPTIONS) == []
    with pytest.raises(UsageError):
        expected_questions(talk(3), replace(OPTIONS, context_tokens=1000))
