"""What a model is asked for a summary, and how much of its context that takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import UsageError
from sttbatch.core.language_models import Question
from sttbatch.kinds.language.token_estimates import FRAME_TOKENS, estimated_tokens
from sttbatch.kinds.summarization.summary import ACTIONS, POINTS, Statement, Style, SummaryOptions
from sttbatch.kinds.summarization.windows import Utterance

MOST_WINDOW_TOKENS = 8000
"""About half an hour of speech, whatever the model can read: of longer texts models overlook what
is in the middle, note fewer things for each minute, and take longer than servers wait."""

_FEWEST_WINDOW_TOKENS = 400
ANSWER_TOKENS = 4096
"""Of an answer, with a little thinking."""

_ANSWER_SHARE = 5
_RESERVE = 0.05
"""Of the context, since tokens are only estimated."""

_ONLY_JSON = "Your last answer was not this JSON object. Answer with the JSON object alone."
_SPELLED = "Where the texts mean one of these names and terms, however they spell it, write it so: "
EXTRACT, MERGE = "extract-1", "merge-1"

_OF_WINDOW = {
    Style.BRIEF: {"points": 6, "decisions": 6, "actions": 8, "questions": 4},
    Style.MINUTES: {"points": 20, "decisions": 10, "actions": 15, "questions": 10},
    Style.ACTIONS: {"decisions": 10, "actions": 20},
}
_POINTS_OF_SUMMARY = {Style.BRIEF: 7, Style.MINUTES: 40}


class TokenBudget(Struct, frozen=True):
    """How many tokens an answer may have, and the segments or statements that it is about."""

    answer: int
    window: int

    @property
    def most_of_answer(self) -> int:
        """Of one that is asked for again since it was cut off."""
        return 2 * self.answer


class Task(Struct, frozen=True):
    """What one question is about.

    Attributes:
        prompt: EXTRACT or MERGE.
        values: what the data has beside its context.
        most: how many statements to ask for, by section.
        cited: by each id that the answer may cite, the ids of segments.
        merged: by each id, what is to be merged.
    """

    prompt: str
    values: Mapping[str, Any]
    most: Mapping[str, int]
    cited: Mapping[int, tuple[int, ...]]
    merged: Mapping[int, Statement] = {}


def budget_of(options: SummaryOptions) -> TokenBudget:
    """The budget of the model's context; raises UsageError if that is too short."""
    answer = min(ANSWER_TOKENS, options.context_tokens // _ANSWER_SHARE)
    asked = max(estimated_tokens(_instruction(options, each)) for each in (EXTRACT, MERGE))
    # A server that cannot enforce the schema gets it as text.
    asked += estimated_tokens(json.dumps(schema_of(options.style))) + 2 * FRAME_TOKENS
    # An answer may be asked for again, longer, or with its faults in the question.
    left = int(options.context_tokens * (1 - _RESERVE)) - asked - 2 * answer
    if left < _FEWEST_WINDOW_TOKENS:
        raise UsageError(
            f"the model {options.model} reads {options.context_tokens} tokens at once, which are "
            f"too few for a summary with this prompt: use another model or a shorter prompt"
        )
    return TokenBudget(answer, min(left, MOST_WINDOW_TOKENS))


def extraction(window: Sequence[Utterance], style: Style) -> Task:
    """To find the statements of a window."""
    segments = [
        {"id": each.id, "text": each.text}
        | ({} if each.speaker is None else {"speaker": each.speaker})
        for each in window
    ]
    ids = {each.id: (each.id,) for each in window}
    return Task(EXTRACT, {"segments": segments}, _OF_WINDOW[style], ids)


def merging(statements: Sequence[Statement], style: Style, *, is_last: bool) -> Task:
    """To merge statements; of points fewer are asked for, halfway to a summary about half."""
    numbered = dict(enumerate(statements, 1))
    values: dict[str, list[dict[str, Any]]] = {section: [] for section in style.sections}
    for number, statement in numbered.items():
        values[statement.section].append(statement_value(number, statement))
    most = {section: len(values[section]) for section in style.sections}
    if POINTS in most:
        most[POINTS] = _POINTS_OF_SUMMARY[style] if is_last else (most[POINTS] + 1) // 2
    cited = {number: statement.segments for number, statement in numbered.items()}
    return Task(MERGE, values, most, cited, numbered)


def statement_value(number: int, statement: Statement) -> dict[str, Any]:
    """A statement as a question has it."""
    value: dict[str, Any] = {"id": number, "text": statement.text}
    if statement.section == ACTIONS:
        value |= {"who": statement.who, "when": statement.when}
    return value


def question_of(
    task: Task,
    options: SummaryOptions,
    max_tokens: int,
    faults: Sequence[Mapping[str, Any]] = (),
) -> Question:
    """The question of a task; `faults` are parts of an answer, with what is wrong with them."""
    context: dict[str, Any] = {"style": options.style, "most": dict(task.most)}
    if options.answer_language is not None:
        context["language"] = options.answer_language
    if faults:
        context["faults"] = list(faults)
    data = json.dumps({**task.values, "context": context}, ensure_ascii=False)
    instruction = _instruction(options, task.prompt)
    return Question(options.model, instruction, data, schema_of(options.style), max_tokens)


def asked_for_json(question: Question) -> Question:
    """The question to a model that answered something else."""
    return replace(question, instruction=f"{question.instruction}\n\n{_ONLY_JSON}")


def with_more_tokens(question: Question, most: int) -> Question:
    """The question with room for twice the answer, up to `most`."""
    return replace(question, max_tokens=min(2 * question.max_tokens, most))


@cache
def schema_of(style: Style) -> Mapping[str, Any]:
    """JSON schema of all answers."""
    sections = {section: _list_schema(section) for section in style.sections}
    return _object({"title": {"type": "string"}, **sections})


def _list_schema(section: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"text": {"type": "string"}}
    if section == ACTIONS:
        fields |= {name: {"type": ["string", "null"]} for name in ("who", "when")}
    fields["ids"] = {"type": "array", "items": {"type": "integer"}}
    return {"type": "array", "items": _object(fields)}


def _object(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


@cache
def prompt(name: str) -> tuple[str, str]:
    """What a prompt asks for, which users may replace, and the form of data and answer."""
    text = files("sttbatch.kinds.summarization").joinpath(f"prompts/{name}.txt").read_text("utf-8")
    task, _, form = text.partition("\n---\n")
    return task, form


def _instruction(options: SummaryOptions, name: str) -> str:
    task, form = prompt(name)
    spelled = f"\n\n{_SPELLED}{json.dumps(options.terms, ensure_ascii=False)}"
    return f"{options.instruction or task}\n\n{form}{spelled if options.terms else ''}"
