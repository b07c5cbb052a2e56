"""An answer of a chat model is asked for, booked and paid for once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from sttbatch.core.errors import BudgetReached, ChunkError
from sttbatch.core.events import APIRequestCompleted, CacheLookup
from sttbatch.core.language_models import Question, TokenCount
from sttbatch.core.work import Budgets
from sttbatch.kinds.language.token_estimates import most_tokens
from tests.cloudru import CloudRu, NotJson, Said, always

from .harness import PRICES, Conversation, conversation

SCHEMA = {"type": "object", "properties": {"points": {"type": "array"}}}
QUESTION = Question("a/model", "Name the points.", '{"text": "раз, два"}', SCHEMA, 300)
BOOKED = """SELECT substr(chunk_key, 1, 8), engine, model, status, unit, quantity, generated, cost,
                   maybe_paid FROM requests ORDER BY id"""


class Booked(NamedTuple):
    """A row of the ledger's requests."""

    kind: str
    engine: str
    model: str
    status: int | None
    unit: str
    quantity: float
    generated: float
    cost: float
    maybe_paid: int

    @property
    def tokens(self) -> TokenCount:
        return TokenCount(int(self.quantity - self.generated), int(self.generated))


def ask(
    folder: Path,
    endpoint: CloudRu,
    *questions: Question,
    max_cost: float | None = None,
    budgets: Budgets | None = None,
) -> tuple[list[bool], list[Booked], Conversation]:
    """Which answers were stored already, and what the ledger has booked so far."""

    async def run() -> tuple[list[bool], list[Booked], Conversation]:
        async with conversation(folder, endpoint, max_cost=max_cost, budgets=budgets) as talk:
            cached = [(await talk.ask(question))[1] for question in questions]
            rows = await talk.database.rows(BOOKED)
            return cached, [Booked(*row) for row in rows], talk

    return asyncio.run(run())


def test_an_answer_is_booked_as_the_server_counted_it_and_asked_for_once(
    tmp_path: Path, endpoint: CloudRu
) -> None:
    endpoint.chat = lambda _: Said('{"points": ["раз"]}')
    cached, booked, talk = ask(tmp_path, endpoint, QUESTION, QUESTION)
    assert cached == [False, True]
    assert len(endpoint.received) == 1
    (row,) = booked
    assert row[:5] == ("summary:", "cloudru", "a/model", 200, "tokens")
    assert row.cost == pytest.approx(PRICES.cost(row.tokens))
    assert row.cost < PRICES.cost(most_tokens(QUESTION))
    assert not row.maybe_paid
    (request,) = [each for each in talk.events if isinstance(each, APIRequestCompleted)]
    assert request.cost == pytest.approx(row.cost)
    assert [each.level for each in talk.events if isinstance(each, CacheLookup)] == [None, "L1"]
    # Another process, whose L1 is empty, and L2 as well.
    again, booked_again, _ = ask(tmp_path, endpoint, QUESTION)
    assert again == [True]
    assert booked_again == booked


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, model="another/model"),
        replace(QUESTION, instruction="Name all points."),
        replace(QUESTION, data='{"text": "три"}'),
        replace(QUESTION, schema={"type": "object"}),
        replace(QUESTION, max_tokens=301),
        replace(QUESTION, temperature=0.1),
    ],
)
def test_what_decides_an_answer_is_in_its_key(
    tmp_path: Path, endpoint: CloudRu, other: Question
) -> None:
    cached, booked, _ = ask(tmp_path, endpoint, QUESTION, other)
    assert cached == [False, False]
    assert len(booked) == len(endpoint.received) == 2


def test_budgets_hold_before_anything_is_sent(tmp_path: Path, endpoint: CloudRu) -> None:
    """With the most that an answer may cost, since its length is unknown."""
    most = PRICES.cost(most_tokens(QUESTION))
    with pytest.raises(BudgetReached, match="--max-cost"):
        ask(tmp_path, endpoint, QUESTION, max_cost=0.9 * most)
    with pytest.raises(BudgetReached, match="budget_per_day"):
        ask(tmp_path, endpoint, QUESTION, budgets=Budgets(per_day=0.9 * most))
    assert endpoint.received == []
    other = replace(QUESTION, data='{"text": "три"}')
    # The first one cost less than was reserved.
    assert ask(tmp_path, endpoint, QUESTION, other, max_cost=1.5 * most)[0] == [False, False]


def test_what_may_have_been_billed_is_booked_at_the_most_that_it_may_cost(
    tmp_path: Path, endpoint: CloudRu
) -> None:
    endpoint.faults = always(NotJson())

    async def run() -> list[Booked]:
        async with conversation(tmp_path, endpoint) as talk:
            with pytest.raises(ChunkError, match="not JSON"):
                await talk.ask(QUESTION)
            return [Booked(*row) for row in await talk.database.rows(BOOKED)]

    booked = asyncio.run(run())
    most = PRICES.cost(most_tokens(QUESTION))
    assert [row.cost for row in booked] == [pytest.approx(most)] * 3
    assert all(row.maybe_paid for row in booked)


def test_a_server_that_counts_nothing_is_reckoned_for(tmp_path: Path, endpoint: CloudRu) -> None:
    endpoint.chat = lambda _: Said(json.dumps({"points": ["word " * 40]}), usage=False)
    _, (row,), _ = ask(tmp_path, endpoint, QUESTION)
    assert row.tokens.prompt == most_tokens(QUESTION).prompt
    assert 30 < row.tokens.generated < 80
    assert row.cost == pytest.approx(PRICES.cost(row.tokens))
