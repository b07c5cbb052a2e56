"""Whatever a model says, a summary says nothing that was not said, and names what it lacks."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sttbatch.core.errors import ChunkError, ChunkHindered, ChunkTooLarge
from sttbatch.core.language_models import ChatAnswer
from sttbatch.kinds.summarization.questions import budget_of
from sttbatch.kinds.summarization.summary import Style, SummaryOptions
from sttbatch.kinds.summarization.windows import windows_of

from .models import OPTIONS, Model, Values, summarize, talk

SMALL = replace(OPTIONS, context_tokens=3000)

Way = Callable[[random.Random, Values], ChatAnswer | str | None]


def entries(answer: Values) -> list[Values]:
    return [
        each for section, each_list in answer.items() if section != "title" for each in each_list
    ]


def invent_ids(choose: random.Random, answer: Values) -> None:
    for each in entries(answer):
        each["ids"] = choose.choice([[], [0], [10**6], None, "1", [*each["ids"], 10**6], {}])


def other_ids(choose: random.Random, answer: Values) -> None:
    every = [each["ids"] for each in entries(answer)]
    for each in entries(answer):
        each["ids"] = choose.choice(every)


def invent_figures(choose: random.Random, answer: Values) -> None:
    for each in entries(answer):
        each["text"] += f" {choose.randint(5000, 99999)}"


def invent_names(_: random.Random, answer: Values) -> None:
    for each in entries(answer):
        each["text"] = f"Это {each['text']}".replace(" ", " Ктулху ", 1)


def translate(_: random.Random, answer: Values) -> None:
    for each in entries(answer):
        each["text"] = "and now in another language"


def garble(choose: random.Random, answer: Values) -> None:
    for section in list(answer):
        if section != "title" and choose.random() < 0.5:
            answer[section] = [choose.choice([None, 1, "text", [], {"text": 5}, {"ids": [1]}])]


def drop_sections(choose: random.Random, answer: Values) -> None:
    for section in list(answer):
        if choose.random() < 0.5:
            del answer[section]


def nothing(choose: random.Random, _: Values) -> ChatAnswer:
    return ChatAnswer("", choose.choice(["stop", "length", "refusal", "content_filter"]))


def cut_off(choose: random.Random, answer: Values) -> ChatAnswer:
    text = json.dumps(answer, ensure_ascii=False)
    return ChatAnswer(text[: choose.randrange(len(text))], "length")


def wrap(choose: random.Random, answer: Values) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    return choose.choice(["```json\n%s\n```", "So: %s!", "<think>{</think>%s", "[%s]"]) % text


def prose(_: random.Random, __: Values) -> str:
    return "I'm sorry, I cannot do that."


def fail(choose: random.Random, _: Values) -> None:
    raise choose.choice([ChunkError, ChunkHindered, ChunkTooLarge])("it failed")


WAYS: list[Way] = [
    invent_ids, other_ids, invent_figures, invent_names, translate, garble, drop_sections,
    nothing, cut_off, wrap, prose, fail,
]  # fmt: skip
UNREADABLE: list[Way] = [nothing, cut_off, prose, fail, wrap]


def misbehave(choose: random.Random, ways: list[Way], answer: Values) -> ChatAnswer | str | None:
    return choose.choice(ways)(choose, answer)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 250),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    style=st.sampled_from(Style),
)
def test_only_what_was_said_is_in_a_summary(
    seed: int, count: int, share: float, style: Style
) -> None:
    choose = random.Random(seed)
    utterances = talk(count, seed)

    def wrong(_: int, values: Values, answer: Values) -> ChatAnswer | str | None:
        answer.setdefault("decisions", []).append(
            {"text": "Решили", "ids": [each["id"] for each in values.get("segments", ())][:1]}
        )
        return misbehave(choose, WAYS, answer) if choose.random() < share else None

    options: SummaryOptions = replace(SMALL, style=style)
    model = Model(wrong)
    summary = summarize(model, utterances, options)
    by_id = {each.id: each for each in utterances}
    for statement in summary.statements:
        assert statement.section in style.sections
        assert statement.segments
        assert set(statement.segments) <= set(by_id)
        assert statement.time_s == by_id[statement.segments[0]].start_s
        said = " ".join(by_id[each].text for each in statement.segments)
        assert all(figure in said for figure in re.findall(r"\d+", statement.text))
        assert "Ктулху" not in statement.text
        assert not re.search("[a-z]{3}", statement.text)
    assert len(set(summary.statements)) == len(summary.statements)
    asked = {each for window in model.asked_windows() for each in window}
    assert asked == set(by_id)
    for lost in (*summary.lost, *summary.unmerged):
        assert lost.reason
        assert 0 <= lost.start_s < lost.end_s <= 5.0 * count


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(40, 250))
def test_each_window_is_in_the_summary_or_lost(seed: int, count: int) -> None:
    choose = random.Random(seed)
    utterances = talk(count, seed)

    def wrong(_: int, values: Values, answer: Values) -> ChatAnswer | str | None:
        if choose.random() < 0.5:
            return None
        return misbehave(choose, UNREADABLE if "segments" in values else WAYS, answer)

    summary = summarize(Model(wrong), utterances, SMALL)
    cited = {each for statement in summary.statements for each in statement.segments}
    for window in windows_of(utterances, budget_of(SMALL).window):
        first_s, last_s = window[0].start_s, window[-1].end_s
        is_lost = any(lost.start_s < last_s and lost.end_s > first_s for lost in summary.lost)
        assert is_lost or not cited.isdisjoint(each.id for each in window)


def test_the_windows_of_these_transcripts_are_several() -> None:
    assert len(list(windows_of(talk(250), budget_of(SMALL).window))) > 8
