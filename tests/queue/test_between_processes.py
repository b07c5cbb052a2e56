"""Several processes at one ledger: each job and chunk is had by one, and no budget is overdrawn."""

from __future__ import annotations

import time

import pytest

from tests.queue.competing_process import LANES, post
from tests.queue.harness import Clock, Harness, Ledger, contenders, in_harness

LIMIT = 30


@pytest.mark.parametrize(
    ("processes", "jobs"), [(4, 20), pytest.param(8, 40, marks=pytest.mark.slow)]
)
def test_processes_share_jobs_and_each_is_claimed_once(
    ledger: Ledger, processes: int, jobs: int
) -> None:
    async def fill(harness: Harness) -> list[str]:
        return [(await harness.queued(f"{number:02}")).id for number in range(jobs)]

    job_ids = in_harness(ledger, fill)
    with contenders(processes, "claim", ledger) as running:
        for each in running:
            each.go()
        claimed = [job_id for each in running for job_id in each.rest()]
    assert sorted(claimed) == sorted(job_ids)
    assert ledger.rows("SELECT DISTINCT status, claim_number FROM processing_jobs") == [
        ("COMPLETED", 1)
    ]


def test_no_budget_is_overdrawn_by_claims_at_once(ledger: Ledger) -> None:
    async def spend_some(harness: Harness) -> None:
        await harness.database.write(lambda db: post(db, time.time(), "before", 2.0))

    in_harness(ledger, spend_some, Clock(time.time()))
    with contenders(2, "spend", ledger, 40, LIMIT) as running:
        for each in running:
            each.go()
        paid = [line for each in running for line in each.rest()]
    # Neither over the limit, nor less than it allows: nothing stays reserved that was closed.
    assert len(paid) == LIMIT - 2
    assert ledger.rows("SELECT sum(cost), sum(maybe_paid) FROM requests") == [(LIMIT, 0)]
    assert ledger.rows("SELECT sum(reserved_cost) FROM chunk_tasks") == [(0.0,)]


def test_a_killed_process_neither_loses_nor_frees_what_it_was_spending(ledger: Ledger) -> None:
    with contenders(3, "spend", ledger, 40, LIMIT) as running:
        # The others could spend it all before the first one has its turn.
        running[0].go()
        assert running[0].line() == "paid"
        for each in running[1:]:
            each.go()
        running[0].kill()
        paid = sum(len(each.rest()) for each in running[1:])

    async def sweep(harness: Harness) -> None:
        await harness.workers.sweep()

    in_harness(ledger, sweep)
    # All of the budget, whoever spent it: what was on its way is counted once, as maybe paid.
    ((spent, maybe_paid),) = ledger.rows("SELECT sum(cost), sum(maybe_paid) FROM requests")
    assert spent == LIMIT
    # At most one a lane, and nothing of those that lived on.
    assert maybe_paid in range(LANES + 1)
    assert paid <= LIMIT - 1
    assert ledger.rows("SELECT sum(reserved_cost) FROM chunk_tasks") == [(0.0,)]
