"""What a summary will ask, before it is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sttbatch.kinds.language.task import ExpectedQuestion
from sttbatch.kinds.summarization.merging import groups_of, tokens_of
from sttbatch.kinds.summarization.questions import (
    Task,
    budget_of,
    extraction,
    merging,
    question_of,
)
from sttbatch.kinds.summarization.summarizer import spoken_of
from sttbatch.kinds.summarization.summary import POINTS, Statement, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance, windows_of

_FILLED = {POINTS: 0.8}
_SELDOM_FILLED = 0.25
"""How much of the statements that it may have an answer has."""

_TOKENS_A_STATEMENT = 150
"""Of a transcript: short ones have few statements."""

_STATEMENT_CHARACTERS = 100
_TITLE_TOKENS = 20
_ID_TOKENS = 6


def expected_questions(
    utterances: Sequence[Utterance], options: SummaryOptions
) -> list[ExpectedQuestion]:
    """The questions of a summary, and about how many tokens the model will generate for each.

    Those about windows are exactly those that will be asked; those that merge what was found have
    texts that are about as long. Raises UsageError as `Summarizer.summarize`.
    """
    budget = budget_of(options)
    expected: list[ExpectedQuestion] = []

    def asked(task: Task, statements: Sequence[Statement]) -> None:
        tokens = _TITLE_TOKENS + sum(tokens_of(statement) + _ID_TOKENS for statement in statements)
        question = question_of(task, options, budget.answer)
        expected.append(ExpectedQuestion(question, min(tokens, budget.answer)))

    statements: list[Statement] = []
    windows = list(windows_of(spoken_of(utterances), budget.window))
    for window in windows:
        task = extraction(window, options.style)
        found = list(_expected_statements(window, task.most))
        asked(task, found)
        statements += found
    if len(windows) < 2:
        return expected
    while len(groups := groups_of(statements, budget.window)) > 1:
        for group in groups:
            asked(merging(group, options.style, is_last=False), group[::2])
        statements = [statement for group in groups for statement in group[::2]]
    last = merging(statements, options.style, is_last=True)
    asked(last, statements[: sum(last.most.values())])
    return expected


def _expected_statements(
    window: Sequence[Utterance], most: Mapping[str, int]
) -> Iterator[Statement]:
    """Statements with texts from the window, so that their tokens are those of its language."""
    text = " ".join(each.text for each in window)
    tokens = sum(each.tokens for each in window)
    for section, count in most.items():
        share = count / sum(most.values())
        expected = min(
            _FILLED.get(section, _SELDOM_FILLED) * count, share * tokens / _TOKENS_A_STATEMENT
        )
        for number in range(round(expected)):
            begin = number * _STATEMENT_CHARACTERS % max(len(text) - _STATEMENT_CHARACTERS, 1)
            said = text[begin : begin + _STATEMENT_CHARACTERS]
            yield Statement(section, said, (window[0].id,), window[0].start_s)
