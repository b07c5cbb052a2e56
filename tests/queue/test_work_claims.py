"""One chunk is sent by one process, and its cost is reserved before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.jobs import ChunkTask, Claim
from sttbatch.core.work import Answered, Budgets, Granted, HeldBy, OverBudget, RequestRecord
from sttbatch.database.work_ledger import first_of_month, midnight
from tests.database.backends import BACKENDS
from tests.queue.harness import (
    Clock,
    Harness,
    Ledger,
    contenders,
    in_harness,
    item,
    opened,
)

NOON = 1_700_000_000.0
DAY_S = 86_400.0


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone whose days are 23 to 25 hours long."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def granted(harness: Harness, key: str, claim: Claim, cost: float = 1.0) -> Granted:
    found = await harness.claim(key, claim, cost=cost)
    assert isinstance(found, Granted)
    return found


async def chunk(harness: Harness, claim: Claim) -> ChunkTask:
    (found,) = await harness.jobs.chunks(claim.job_id)
    return found


def test_a_chunk_is_held_until_its_answer_is_stored(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        claim = await harness.claimed(await harness.queued())
        first = await granted(harness, "chunk:1", claim)
        # Another lane of the same process waits as another process would.
        assert await harness.claim("chunk:1", claim, 3, 1.0) == HeldBy(harness.worker.id)
        await harness.answer(first)
        assert await harness.claim("chunk:1", claim, 3) == Answered()
        closed = await chunk(harness, claim)
        assert (closed.status, closed.reserved_cost, closed.retry_count) == ("COMPLETED", 0.0, 0)
        (only,) = await harness.jobs.attempts(claim.job_id)
        assert (only.completed_chunks, only.total_chunks) == (1, 1)
        # --force asks for it again.
        assert isinstance(await harness.claim("chunk:1", claim, force=True), Granted)

    in_harness(ledger, work)


def test_whatever_text_an_error_holds_is_stored(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        request = APIRequest(1.0, 1, None, 1.0, 1, 60.0, error="no \udcff\0", request_id="a\0")
        await harness.ledger.record(RequestRecord(item("chunk:1"), request))
        claim = await harness.claimed(await harness.queued())
        await harness.ledger.give_up(await granted(harness, "chunk:1", claim), "no \udcff\0")
        assert (await chunk(harness, claim)).error_message == "no \\udcff\\x00"

    in_harness(ledger, work)
    assert ledger.rows("SELECT error, request_id FROM requests") == [("no \\udcff\\x00", "a\\x00")]


def test_a_failed_chunk_can_be_claimed_again_and_counts(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        claim = await harness.claimed(await harness.queued())
        for count in range(3):
            found = await granted(harness, "chunk:1", claim)
            assert (await chunk(harness, claim)).retry_count == count
            assert await harness.ledger.give_up(found, "500 \udcff")
            assert not await harness.ledger.give_up(found, "twice")
        failed = await chunk(harness, claim)
        assert (failed.status, failed.error_message) == ("FAILED", "500 \\udcff")
        assert ledger.rows("SELECT count(*) FROM requests") == [(0,)]

    in_harness(ledger, work)


def test_storing_and_closing_are_one_transaction(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        claim = await harness.claimed(await harness.queued())
        found = await granted(harness, "chunk:1", claim)

        request = APIRequest(1.0, None, 200, 1.0, 1, 60.0, paid=True)  # type: ignore[arg-type]
        with pytest.raises(StateError, match=r"(?i)not.null"):
            await harness.ledger.store(found, RequestRecord(found.item, request, b"{}"))
        assert ledger.rows("SELECT count(*) FROM cache_entries") == [(0,)]
        assert (await chunk(harness, claim)).status == "PROCESSING"

    in_harness(ledger, work)


def test_what_a_killed_run_was_sending_stays_spent(ledger: Ledger) -> None:
    clock = Clock(time.time())
    job = in_harness(ledger, lambda harness: harness.queued(), clock)
    with contenders(1, "hold", ledger, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def work() -> None:
            async with opened(ledger, clock=clock, budgets=Budgets(per_day=2.5)) as harness:
                claim = await harness.claimed(await harness.queued("b"))
                held = await harness.claim("chunk:1", claim)
                assert isinstance(held, HeldBy)
                assert held.worker_id != harness.worker.id
                waiting = asyncio.create_task(harness.claims.wait_until_ended("chunk:1"))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                holder.kill()
                await asyncio.wait_for(waiting, 30)
                await granted(harness, "chunk:1", claim)
                assert (await chunk(harness, claim)).retry_count == 1
                over = await harness.claim("chunk:2", claim, 1, 1.0)
                assert over == OverBudget("budget_per_day", 2.5, 2.0)

        asyncio.run(work())
    killed, left = ledger.rows(
        "SELECT status, cost, maybe_paid, quantity, engine, model, attempt, error FROM requests",
    )
    assert killed[:-1] == (None, 1.0, 1, 60.0, "cloudru", "whisper", 1)
    assert killed[-1] == "the run that sent it was killed"
    assert left[-1] == "the run that sent it ended before the answer came"


def test_a_claim_that_is_cancelled_holds_nothing(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        claim = await harness.claimed(await harness.queued())
        with BACKENDS[ledger.backend].locked(ledger.folder):
            # The claim waits for the ledger while its task is cancelled.
            claiming = asyncio.create_task(harness.claim("chunk:1", claim))
            # The task has begun to wait when the next one after it runs.
            await asyncio.create_task(asyncio.sleep(0))
            claiming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await claiming
        left = await chunk(harness, claim)
        assert (left.status, left.reserved_cost) == ("FAILED", 0.0)

    in_harness(ledger, work)
    assert ledger.rows("SELECT count(*) FROM requests") == [(0,)]


def test_a_late_answer_does_not_take_the_new_holders_reservation(ledger: Ledger) -> None:
    async def work(harness: Harness) -> None:
        old_claim = await harness.claimed(await harness.queued())
        late = await granted(harness, "chunk:1", old_claim)
        await harness.workers.reap(harness.worker.id)
        new_claim = await harness.claimed(await harness.queued())
        await granted(harness, "chunk:1", new_claim)
        await harness.answer(late)
        assert (await chunk(harness, new_claim)).reserved_cost == 1.0

    in_harness(ledger, work)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("today", "hours"),
    [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 6, 1), 24), ((2026, 1, 1), 24)],
)
def test_days_begin_at_local_midnight_and_months_on_the_first(
    today: tuple[int, int, int], hours: int
) -> None:
    begin = time.mktime((*today, 0, 0, 0, -1, -1, -1))
    end = begin + hours * 3600
    for now in (begin, begin + 1, end - 1):
        assert midnight(now) == begin
        assert first_of_month(now) == time.mktime((*today[:2], 1, 0, 0, 0, -1, -1, -1))
    assert midnight(end) == end
    if today[2] == 1:
        assert first_of_month(begin - 1) < first_of_month(begin) == begin


@pytest.mark.usefixtures("berlin")
def test_a_new_day_has_a_new_budget_and_a_month_adds_its_days_up(ledger: Ledger) -> None:
    clock = Clock(time.mktime((2026, 3, 30, 23, 59, 0, -1, -1, -1)))

    async def work() -> None:
        budgets = Budgets(per_day=2.0, per_month=3.0)
        async with opened(ledger, clock=clock, budgets=budgets) as harness:
            claim = await harness.claimed(await harness.queued())

            async def spend(key: str) -> OverBudget | None:
                found = await harness.claim(key, claim)
                if isinstance(found, OverBudget):
                    return found
                assert isinstance(found, Granted)

                await harness.answer(found)
                return None

            assert [await spend("1"), await spend("2")] == [None, None]
            assert await spend("3") == OverBudget("budget_per_day", 2.0, 2.0)
            clock.now += 60
            assert await spend("3") is None
            assert await spend("4") == OverBudget("budget_per_month", 3.0, 3.0)
            clock.now += DAY_S
            assert await spend("4") is None

    asyncio.run(work())


def test_what_is_on_its_way_over_midnight_still_counts(ledger: Ledger) -> None:
    clock = Clock()

    async def work() -> None:
        async with opened(ledger, clock=clock, budgets=Budgets(per_day=1.0)) as harness:
            claim = await harness.claimed(await harness.queued())
            await granted(harness, "chunk:1", claim)
            clock.now += DAY_S
            over = await harness.claim("chunk:2", claim, 1, 0.5)
            assert isinstance(over, OverBudget)
            assert "budget_per_day 1 (1.00 are spent or reserved)" in over.message
            # What costs nothing is never forbidden.
            await granted(harness, "chunk:3", claim, cost=0.0)

    asyncio.run(work())


def test_a_budget_can_be_spent_to_the_last_kopeck(ledger: Ledger) -> None:
    async def work() -> None:
        async with opened(ledger, budgets=Budgets(per_month=1.0)) as harness:
            claim = await harness.claimed(await harness.queued())
            for number in range(10):
                await granted(harness, f"chunk:{number}", claim, cost=0.1)
            assert isinstance(await harness.claim("11", claim, 0, 0.01), OverBudget)

    asyncio.run(work())
