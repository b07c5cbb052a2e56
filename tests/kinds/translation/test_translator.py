"""Whatever a model does, each line has its own translation or stays as it was."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.kinds.translation.translator import Translation, TranslationOptions, Translator
from sttbatch.kinds.translation.windows import Line

from .test_line_checks import asked_lines, double, drop, merge, shift, translated

OPTIONS = TranslationOptions("a/model", "en")
Entries = list[dict[str, Any]]


class Model:
    """Translates as `translated` does, and then does what is `wrong` to an answer."""

    def __init__(self, wrong: Callable[[int, Entries], str | None] = lambda _n, _e: None) -> None:
        self.questions: list[Question] = []
        self._wrong = wrong

    async def answer(self, question: Question) -> ChatAnswer:
        self.questions.append(question)
        entries = [
            {"id": each["id"], "text": translated(Line(each["id"], each["text"]))}
            for each in json.loads(question.data)["segments"]
        ]
        said = self._wrong(len(self.questions) - 1, entries)
        return ChatAnswer(json.dumps({"segments": entries}) if said is None else said, "stop")

    def asked(self, number: int) -> list[int]:
        """The ids that a question has."""
        return [each["id"] for each in json.loads(self.questions[number].data)["segments"]]


def translate(
    model: Model, lines: list[Line], options: TranslationOptions = OPTIONS
) -> Translation:
    return asyncio.run(Translator(model.answer, options).translate(lines))


def test_lines_go_out_in_windows_with_those_before() -> None:
    model, lines = Model(), asked_lines(100, first=1)
    translation = translate(model, lines)
    assert translation == Translation({line.id: translated(line) for line in lines})
    assert sum(len(model.asked(n)) for n in range(len(model.questions))) == 100
    first, second = (json.loads(question.data)["context"] for question in model.questions[:2])
    assert first == {"to": "en", "before": [], "glossary": {}}
    last = model.asked(0)[-1]
    assert second["before"] == [translated(line) for line in lines[last - 5 : last]]
    assert "never" in model.questions[0].instruction.lower()


def test_a_line_that_is_always_lost_stays_and_is_named() -> None:
    lines = asked_lines(40, first=1)

    def wrong(_: int, entries: Entries) -> None:
        entries[:] = [each for each in entries if each["id"] != 20]

    model = Model(wrong)
    translation = translate(model, lines)
    expected = {line.id: translated(line) for line in lines} | {20: lines[19].text}
    assert translation == Translation(expected, kept=(20,))
    # The missing ones alone, then in halves.
    assert model.asked(1) == list(range(17, 24))
    assert len(model.questions) < 10


@pytest.mark.parametrize("said", ["", "null", "I am sorry.", '{"segments": [{"id": 1, "te'])
def test_a_model_that_never_answers_leaves_all_lines(said: str) -> None:
    lines = asked_lines(10, first=1)
    model = Model(lambda _number, _entries: said)
    translation = translate(model, lines)
    assert translation.texts == {line.id: line.text for line in lines}
    assert translation.kept == tuple(line.id for line in lines)
    # An empty one may have been for want of tokens.
    assert len(model.questions) == (19 if said else 20)


def test_an_answer_in_another_script_is_none() -> None:
    lines = [Line(1, "We signed the contract today."), Line(2, "OK")]

    async def answer(question: Question) -> ChatAnswer:
        entries = [
            {"id": each["id"], "text": each["text"]}
            for each in json.loads(question.data)["segments"]
        ]
        return ChatAnswer(json.dumps({"segments": entries}), "stop")

    options = replace(OPTIONS, language="ru")
    translation = asyncio.run(Translator(answer, options).translate(lines))
    # A name may stay as it is.
    assert translation.kept == (1,)


def test_a_term_of_the_glossary_is_asked_for_again() -> None:
    lines = [Line(1, "They signed the contracts."), Line(2, "And went home.")]
    options = replace(OPTIONS, language="ru", glossary={"contract": "соглашение", "ship": "судно"})
    answers = ["Они подписали договоры.", "Они подписали соглашения."]
    asked: list[Any] = []

    async def answer(question: Question) -> ChatAnswer:
        data = json.loads(question.data)
        asked.append(data)
        texts = {1: answers[len(asked) - 1], 2: "И пошли домой."}
        entries = [{"id": each["id"], "text": texts[each["id"]]} for each in data["segments"]]
        return ChatAnswer(json.dumps({"segments": entries}), "stop")

    translation = asyncio.run(Translator(answer, options).translate(lines))
    assert translation.texts[1] == "Они подписали соглашения."
    assert translation.against_glossary == ()
    assert asked[0]["context"]["glossary"] == {"contract": "соглашение"}
    assert [each["id"] for each in asked[1]["segments"]] == [1]
    answers[1] = "Они подписали бумаги."
    asked.clear()
    again = asyncio.run(Translator(answer, options).translate(lines))
    assert again.texts[1] == "Они подписали договоры."
    assert again.against_glossary == (1,)


def test_what_takes_too_long_to_read_is_asked_for_once_more() -> None:
    lines = [Line(1, "It is a very long text of a very short line.", 1.0), Line(2, "Yes.", 1.0)]
    asked: list[Any] = []

    async def answer(question: Question) -> ChatAnswer:
        data = json.loads(question.data)
        asked.append(data)
        texts = {
            1: "A long text." if len(asked) > 1 else "It is such a long text in a line.",
            2: "Y.",
        }
        entries = [{"id": each["id"], "text": texts[each["id"]]} for each in data["segments"]]
        return ChatAnswer(json.dumps({"segments": entries}), "stop")

    options = replace(OPTIONS, max_cps=17.0)
    translation = asyncio.run(Translator(answer, options).translate(lines))
    assert translation.texts == {1: "A long text.", 2: "Y."}
    assert len(asked) == 2
    assert asked[1]["context"]["limits"] == {"1": 17}


def renumber(entries: Entries, at: int) -> None:
    for number, entry in enumerate(entries, 1 + at % 2):
        entry["id"] = number


def empty(entries: Entries, at: int) -> None:
    entries[min(at, len(entries) - 1)]["text"] = ""


def add(entries: Entries, at: int) -> None:
    entries.insert(at, {"id": 10_000 + at, "text": "one more line"})


def fence(entries: Entries, at: int) -> str:
    return f"Here are {at} lines:\n```json\n{json.dumps({'segments': entries})}\n```\n"


def cut_off(entries: Entries, at: int) -> str:
    return json.dumps({"segments": entries})[: 20 * at]


def nothing(_entries: Entries, _at: int) -> str:
    return ""


WRONGS = [drop, double, merge, shift, renumber, empty, add, fence, cut_off, nothing, None]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 90))
def test_no_line_gets_the_translation_of_another(seed: int, count: int) -> None:
    choose = random.Random(seed)

    def wrong(_: int, entries: Entries) -> str | None:
        way = choose.choice(WRONGS)
        if way is None or (way in {merge, shift} and len(entries) < 2):
            return None
        said = way(entries, choose.randrange(len(entries)))
        return said if isinstance(said, str) else None

    lines = asked_lines(count, seed, first=101)
    translation = translate(Model(wrong), lines)
    assert list(translation.texts) == [line.id for line in lines]
    for line in lines:
        expected = line.text if line.id in translation.kept else translated(line)
        assert translation.texts[line.id] == expected
