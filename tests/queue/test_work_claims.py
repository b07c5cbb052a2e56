"""One chunk is sent by one process, and its cost is reserved before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sttbatch.core.engine import APIRequest
from sttbatch.core.errors import StateError
from sttbatch.core.work import Answered, Budgets, Granted, HeldBy, OverBudget, record_of
from sttbatch.database.sqlite_file import connect
from sttbatch.database.work_ledger import first_of_month, midnight
from sttbatch.queue.attempts import ChunkTask, chunks_of, passes_of
from sttbatch.queue.job import Claim
from tests.queue.harness import Clock, Room, contenders, in_room, opened, rows

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


async def granted(room: Room, key: str, claim: Claim, cost: float = 1.0) -> Granted:
    found = await room.claim(key, claim, cost=cost)
    assert isinstance(found, Granted)
    return found


async def chunk(room: Room, claim: Claim) -> ChunkTask:
    (found,) = await room.database.read(lambda db: chunks_of(db, claim.job_id))
    return found


def test_a_chunk_is_held_until_its_answer_is_stored(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        claim = await room.claimed(await room.queued())
        first = await granted(room, "chunk:1", claim)
        # Another lane of the same process waits as another process would.
        assert await room.claim("chunk:1", claim, 3, 1.0) == HeldBy(room.worker.id)
        await room.answer(first)
        assert await room.claim("chunk:1", claim, 3) == Answered()
        closed = await chunk(room, claim)
        assert (closed.status, closed.reserved_cost, closed.retry_count) == ("COMPLETED", 0.0, 0)
        (only,) = await room.database.read(lambda db: passes_of(db, claim.job_id))
        assert (only.completed_chunks, only.total_chunks) == (1, 1)
        # --force asks for it again.
        assert isinstance(await room.claim("chunk:1", claim, force=True), Granted)

    in_room(tmp_path, work)


def test_a_failed_chunk_can_be_claimed_again_and_counts(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        claim = await room.claimed(await room.queued())
        for count in range(3):
            found = await granted(room, "chunk:1", claim)
            assert (await chunk(room, claim)).retry_count == count
            assert await room.ledger.give_up(found, "500 \udcff")
            assert not await room.ledger.give_up(found, "twice")
        failed = await chunk(room, claim)
        assert (failed.status, failed.error_message) == ("FAILED", "500 \\udcff")
        assert rows(tmp_path, "SELECT count(*) FROM requests") == [(0,)]

    in_room(tmp_path, work)


def test_storing_and_closing_are_one_transaction(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        claim = await room.claimed(await room.queued())
        found = await granted(room, "chunk:1", claim)

        request = APIRequest(1.0, None, 200, 1.0, 1, 60.0, paid=True)  # type: ignore[arg-type]
        with pytest.raises(StateError, match="NOT NULL"):
            await room.ledger.store(found, record_of(found.item, request, b"{}"))
        assert rows(tmp_path, "SELECT count(*) FROM cache_entries") == [(0,)]
        assert (await chunk(room, claim)).status == "PROCESSING"

    in_room(tmp_path, work)


def test_what_a_killed_run_was_sending_stays_spent(tmp_path: Path) -> None:
    clock = Clock(time.time())
    job = in_room(tmp_path, lambda room: room.queued(), clock)
    with contenders(1, "hold", tmp_path, job.id, "chunk:1") as (holder,):
        assert holder.line() == "held"

        async def work() -> None:
            async with opened(tmp_path, clock=clock, budgets=Budgets(per_day=2.5)) as room:
                claim = await room.claimed(await room.queued("b"))
                held = await room.claim("chunk:1", claim)
                assert isinstance(held, HeldBy)
                assert held.worker_id != room.worker.id
                waiting = asyncio.create_task(room.claims.wait_until_ended("chunk:1"))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                holder.kill()
                await asyncio.wait_for(waiting, 30)
                await granted(room, "chunk:1", claim)
                assert (await chunk(room, claim)).retry_count == 1
                over = await room.claim("chunk:2", claim, 1, 1.0)
                assert over == OverBudget("budget_per_day", 2.5, 2.0)

        asyncio.run(work())
    killed, left = rows(
        tmp_path,
        "SELECT status, cost, maybe_paid, quantity, engine, model, attempt, error FROM requests",
    )
    assert killed[:-1] == (None, 1.0, 1, 60.0, "cloudru", "whisper", 1)
    assert killed[-1] == "the run that sent it was killed"
    assert left[-1] == "the run that sent it ended before the answer came"


def test_a_claim_that_is_cancelled_holds_nothing(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        claim = await room.claimed(await room.queued())
        with contextlib.closing(connect(tmp_path / "ledger.db", "FULL")) as other:
            # The claim waits for the file while its task is cancelled.
            other.execute("BEGIN IMMEDIATE")
            claiming = asyncio.create_task(room.claim("chunk:1", claim))
            # The task has begun to wait when the next one after it runs.
            await asyncio.create_task(asyncio.sleep(0))
            claiming.cancel()
            other.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await claiming
        left = await chunk(room, claim)
        assert (left.status, left.reserved_cost) == ("FAILED", 0.0)

    in_room(tmp_path, work)
    assert rows(tmp_path, "SELECT count(*) FROM requests") == [(0,)]


def test_a_late_answer_does_not_take_the_new_holders_reservation(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        old_claim = await room.claimed(await room.queued())
        late = await granted(room, "chunk:1", old_claim)
        await room.workers.reap(room.worker.id)
        new_claim = await room.claimed(await room.queued())
        await granted(room, "chunk:1", new_claim)
        await room.answer(late)
        assert (await chunk(room, new_claim)).reserved_cost == 1.0

    in_room(tmp_path, work)


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
def test_a_new_day_has_a_new_budget_and_a_month_adds_its_days_up(tmp_path: Path) -> None:
    clock = Clock(time.mktime((2026, 3, 30, 23, 59, 0, -1, -1, -1)))

    async def work() -> None:
        budgets = Budgets(per_day=2.0, per_month=3.0)
        async with opened(tmp_path, clock=clock, budgets=budgets) as room:
            claim = await room.claimed(await room.queued())

            async def spend(key: str) -> OverBudget | None:
                found = await room.claim(key, claim)
                if isinstance(found, OverBudget):
                    return found
                assert isinstance(found, Granted)

                await room.answer(found)
                return None

            assert [await spend("1"), await spend("2")] == [None, None]
            assert await spend("3") == OverBudget("budget_per_day", 2.0, 2.0)
            clock.now += 60
            assert await spend("3") is None
            assert await spend("4") == OverBudget("budget_per_month", 3.0, 3.0)
            clock.now += DAY_S
            assert await spend("4") is None

    asyncio.run(work())


def test_what_is_on_its_way_over_midnight_still_counts(tmp_path: Path) -> None:
    clock = Clock()

    async def work() -> None:
        async with opened(tmp_path, clock=clock, budgets=Budgets(per_day=1.0)) as room:
            claim = await room.claimed(await room.queued())
            await granted(room, "chunk:1", claim)
            clock.now += DAY_S
            over = await room.claim("chunk:2", claim, 1, 0.5)
            assert isinstance(over, OverBudget)
            assert "budget_per_day 1 (1.00 are spent or reserved)" in over.message
            # What costs nothing is never forbidden.
            await granted(room, "chunk:3", claim, cost=0.0)

    asyncio.run(work())


def test_a_budget_can_be_spent_to_the_last_kopeck(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path, budgets=Budgets(per_month=1.0)) as room:
            claim = await room.claimed(await room.queued())
            for number in range(10):
                await granted(room, f"chunk:{number}", claim, cost=0.1)
            assert isinstance(await room.claim("11", claim, 0, 0.01), OverBudget)

    asyncio.run(work())
