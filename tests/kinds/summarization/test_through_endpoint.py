"""Summaries through a real endpoint and a real ledger, whatever the server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import BudgetReached
from sttbatch.core.language_models import ChatAnswer, Question
from sttbatch.kinds.summarization.summarizer import Summarizer
from sttbatch.kinds.summarization.summary import Summary
from tests.cloudru import (
    Asked,
    Choice,
    CloudRu,
    Fault,
    NotJson,
    Received,
    Said,
    Status,
    Truncated,
    in_turn,
)
from tests.cloudru.summaries import summarised
from tests.kinds.language.harness import conversation

from .models import OPTIONS, talk

SMALL = replace(OPTIONS, context_tokens=4000)
TALK = talk(150)
"""Three windows."""

PAID = "SELECT count(*) FROM requests WHERE status = 200"


async def summary_and_paid(
    folder: Path, endpoint: CloudRu, max_cost: float | None = None
) -> tuple[Summary, int]:
    """And how many answers are paid for by now."""
    async with conversation(folder, endpoint, max_cost=max_cost) as running:

        async def ask(question: Question) -> ChatAnswer:
            return (await running.ask(question))[0]

        summary = await Summarizer(ask, SMALL).summarize(TALK)
        ((paid,),) = await running.database.rows(PAID)
        return summary, paid


def summarize(
    folder: Path, endpoint: CloudRu, max_cost: float | None = None
) -> tuple[Summary, int]:
    folder.mkdir(mode=0o700, exist_ok=True)
    return asyncio.run(summary_and_paid(folder, endpoint, max_cost))


def segments_of(asked: Asked) -> list[int]:
    return [each["id"] for each in asked.values.get("segments", ())]


def is_first(asked: Asked) -> bool:
    return segments_of(asked)[:1] == [1]


def test_a_second_summary_costs_nothing(tmp_path: Path, endpoint: CloudRu) -> None:
    endpoint.chat = summarised
    summary, paid = summarize(tmp_path, endpoint)
    assert summary.is_complete
    assert summary.statements
    assert paid == len(endpoint.received) > 3
    assert summarize(tmp_path, endpoint) == (summary, paid)
    assert len(endpoint.received) == paid


def cut(text: str) -> str:
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _text: Said(None, reasoning="Let me think."),
        lambda _text: Said(None, "length", reasoning="Let me think about it. " * 40),
        lambda text: Said(cut(text), "length"),
        lambda _text: Said("I will summarize that now."),
    ],
)
def test_an_answer_that_cannot_be_read_is_paid_and_asked_for_again(
    tmp_path: Path, endpoint: CloudRu, wrong: Callable[[str], Said]
) -> None:
    endpoint.chat = summarised
    expected, paid = summarize(tmp_path / "right", endpoint)
    bad: set[str] = set()

    def chat(asked: Asked) -> Said:
        honest = summarised(asked)
        if is_first(asked) and not bad:
            bad.add(asked.data)
            return wrong(honest.content or "")
        return honest

    endpoint.chat = chat
    assert summarize(tmp_path / "wrong", endpoint) == (expected, paid + 1)


@pytest.mark.parametrize("around", ["```json\n{}\n```", "Of course:\n\n{}\n\nAnything else?"])
def test_an_answer_in_a_fence_or_in_prose_is_read(
    tmp_path: Path, endpoint: CloudRu, around: str
) -> None:
    endpoint.chat = summarised
    expected = summarize(tmp_path / "right", endpoint)
    endpoint.chat = lambda asked: Said(around.format(summarised(asked).content))
    assert summarize(tmp_path / "wrong", endpoint) == expected


def test_a_refusal_loses_its_window_for_good(tmp_path: Path, endpoint: CloudRu) -> None:
    def chat(asked: Asked) -> Said:
        return Said(None, refusal="No.") if is_first(asked) else summarised(asked)

    endpoint.chat = chat
    summary, paid = summarize(tmp_path, endpoint)
    (lost,) = summary.lost
    assert (lost.start_s, lost.reason) == (0.0, "the model refuses to answer (refusal)")
    assert summary.statements
    assert summarize(tmp_path, endpoint) == (summary, paid)


def of_first(fault: Fault) -> Choice:
    def choose(received: Received) -> Fault | None:
        assert received.asked is not None
        return fault if is_first(received.asked) else None

    return Choice(choose)


@pytest.mark.parametrize(
    ("fault", "reason"), [(Status(400), "400"), (NotJson(), "not JSON"), (Truncated(), "not JSON")]
)
def test_what_the_endpoint_does_not_answer_is_lost_until_it_does(
    tmp_path: Path, endpoint: CloudRu, fault: Fault, reason: str
) -> None:
    endpoint.chat = summarised
    endpoint.faults = of_first(fault)
    summary, paid = summarize(tmp_path, endpoint)
    (lost,) = summary.lost
    assert lost.start_s == 0.0
    assert reason in lost.reason
    endpoint.faults = None
    again, all_paid = summarize(tmp_path, endpoint)
    assert again.is_complete
    # The window, and merges of what it says.
    assert paid < all_paid <= paid + 3


def test_what_is_too_large_for_the_endpoint_is_sent_in_halves(
    tmp_path: Path, endpoint: CloudRu
) -> None:
    endpoint.chat = summarised

    def choose(received: Received) -> Fault | None:
        assert received.asked is not None
        return Status(413) if len(segments_of(received.asked)) > 30 else None

    endpoint.faults = Choice(choose)
    summary, _ = summarize(tmp_path, endpoint)
    assert summary.is_complete
    assert summary.statements


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_endpoint_is_asked_again(tmp_path: Path, endpoint: CloudRu, code: int) -> None:
    endpoint.chat = summarised
    expected = summarize(tmp_path / "right", endpoint)
    endpoint.faults = in_turn([Status(code), None, Status(code), None])
    assert summarize(tmp_path / "busy", endpoint) == expected


def test_a_budget_ends_the_summary_and_what_is_paid_stays(
    tmp_path: Path, endpoint: CloudRu
) -> None:
    endpoint.chat = summarised
    with pytest.raises(BudgetReached, match="--max-cost"):
        summarize(tmp_path, endpoint, max_cost=2.0)
    paid_first = len(endpoint.received)
    assert paid_first > 0
    _, paid = summarize(tmp_path, endpoint)
    assert paid == len(endpoint.received)
    bodies = [json.dumps(dict(each.asked.body), sort_keys=True)
              for each in endpoint.received if each.asked is not None]  # fmt: skip
    assert len(set(bodies)) == len(bodies)


def test_a_server_without_schemas_gets_the_schema_as_text(
    tmp_path: Path, endpoint: CloudRu
) -> None:
    endpoint.chat = summarised
    expected, _ = summarize(tmp_path / "right", endpoint)
    endpoint.refused_options = ("json_schema", "chat_template_kwargs")
    summary, _ = summarize(tmp_path / "plain", endpoint)
    assert summary == expected
