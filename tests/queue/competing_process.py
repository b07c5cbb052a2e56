"""Another process at the same ledger; run by `harness.CompetingProcess`.

claim LEDGER              claim and complete all queued jobs, print the ids of those it got
hold LEDGER JOB CHUNK     claim a job and a chunk of it at a cost of 1, print `held`, stay
spend LEDGER N LIMIT      claim N chunks at a cost of 1 within a budget, store their posts,
                          print one `paid` for each that was granted
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

from sttbatch.core.jobs import Claim, JobStatus
from sttbatch.core.work import Budgets, Granted
from sttbatch.database.store import Session
from tests.queue.harness import Clock, Harness, Ledger, opened

LANES = 4


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def claim(harness: Harness) -> None:
    jobs = await harness.jobs.list(JobStatus.QUEUED)
    random.shuffle(jobs)
    say("ready")
    sys.stdin.readline()
    for job in jobs:
        claim = await harness.queue.claim(job.id, harness.worker)
        if isinstance(claim, Claim):
            say(job.id)
            assert await harness.jobs.complete(claim)


async def hold(harness: Harness, job_id: str, chunk_key: str) -> None:
    say("ready")
    claim = await harness.queue.claim(job_id, harness.worker)
    assert isinstance(claim, Claim)
    granted = await harness.claim(chunk_key, claim)
    assert isinstance(granted, Granted)
    say("held")
    await asyncio.sleep(600)


async def spend(harness: Harness, count: str) -> None:
    job = await harness.queued(harness.worker.id)
    claim = await harness.claimed(job)
    say("ready")
    sys.stdin.readline()

    async def one(index: int) -> None:
        granted = await harness.claim(f"{harness.worker.id} {index}", claim, index, 1.0)
        if isinstance(granted, Granted):
            say("paid")
            await asyncio.sleep(random.uniform(0, 0.05))
            await harness.answer(granted)

    for at in range(0, int(count), LANES):
        await asyncio.gather(*(one(index) for index in range(at, at + LANES)))


def post(db: Session, at: float, chunk_key: str, cost: float) -> None:
    """An answered post."""
    db.execute(
        """INSERT INTO requests (at, chunk_key, engine, model, attempt, status, latency_s, quantity,
                                 sent_bytes, cost, maybe_paid)
           VALUES (?, ?, 'cloudru', 'whisper', 1, 200, 1.0, 60.0, 1, ?, 0)""",
        (at, chunk_key, cost),
    )


async def main(what: str, ledger: str, *arguments: str) -> None:
    budgets = Budgets(per_day=float(arguments[-1])) if what == "spend" else None
    async with opened(Ledger.named(ledger), clock=Clock(time.time()), budgets=budgets) as harness:
        if what == "claim":
            await claim(harness)
        elif what == "hold":
            await hold(harness, *arguments)
        else:
            await spend(harness, arguments[0])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
