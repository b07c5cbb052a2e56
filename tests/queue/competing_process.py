"""Another process at the same ledger; run by `room.CompetingProcess`.

claim FOLDER              claim and complete all queued jobs, print the ids of those it got
hold FOLDER JOB CHUNK     claim a job and a chunk of it at a cost of 1, print `held`, stay
spend FOLDER N LIMIT      claim N chunks at a cost of 1 within a budget, store their posts,
                          print one `paid` for each that was granted
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path

from sttbatch.core.work import Budgets, Granted
from sttbatch.database.session import Session
from sttbatch.queue.job import Claim, JobStatus
from tests.queue.harness import Clock, Room, opened

LANES = 4


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def claim(room: Room) -> None:
    jobs = await room.queue.list(JobStatus.QUEUED)
    random.shuffle(jobs)
    say("ready")
    sys.stdin.readline()
    for job in jobs:
        claim = await room.queue.claim(job.id, room.worker)
        if isinstance(claim, Claim):
            say(job.id)
            assert await room.queue.complete(claim)


async def hold(room: Room, job_id: str, chunk_key: str) -> None:
    say("ready")
    claim = await room.queue.claim(job_id, room.worker)
    assert isinstance(claim, Claim)
    granted = await room.claim(chunk_key, claim)
    assert isinstance(granted, Granted)
    say("held")
    await asyncio.sleep(600)


async def spend(room: Room, count: str) -> None:
    job = await room.queued(room.worker.id)
    claim = await room.claimed(job)
    say("ready")
    sys.stdin.readline()

    async def one(index: int) -> None:
        granted = await room.claim(f"{room.worker.id} {index}", claim, index, 1.0)
        if isinstance(granted, Granted):
            say("paid")
            await asyncio.sleep(random.uniform(0, 0.05))
            await room.answer(granted)

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


async def main(what: str, folder: str, *arguments: str) -> None:
    budgets = Budgets(per_day=float(arguments[-1])) if what == "spend" else None
    async with opened(Path(folder), clock=Clock(time.time()), budgets=budgets) as room:
        if what == "claim":
            await claim(room)
        elif what == "hold":
            await hold(room, *arguments)
        else:
            await spend(room, arguments[0])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
