"""Lanes while answers are stored: none is lost, nothing hangs, no more is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.errors import StateError, Stopped, SttbatchError
from sttbatch.core.work import Granted, Usage, WorkItem
from sttbatch.execution.pay_once import PayOnce, Reply, RunBudget
from sttbatch.processing.scheduling.orchestrator import (
    Lane,
    ParallelOrchestrator,
    PrioritySemaphore,
)

LANES = 2
ITEMS = 12


@dataclass
class Ledger:
    """Stores nothing until it may; then it fails if it is told to. It grants every claim."""

    fails: bool = False
    may_store: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ledger(self) -> Ledger:
        return self

    async def claim(self, item: WorkItem, task_id: int, *, force: bool) -> Granted:
        return Granted(item, task_id, "worker")

    async def give_up(self, granted: Granted, error: str) -> bool:
        return True

    async def record(self, record: object) -> None:
        """Book a failed request."""

    async def store(self, granted: Granted, record: object) -> None:
        await self.may_store.wait()
        if self.fails:
            raise StateError("disk I/O error")


@dataclass
class Request:
    """One of `sent`; the first `throttled` of them are refused once, by a 429."""

    number: int
    sent: list[int]
    on_requested: Callable[[], None] = lambda: None
    throttled: int = 0

    @property
    def item(self) -> WorkItem:
        return WorkItem(f"chunk:{self.number}", "f", 0, "e", "m", Usage("s", 1.0), 1.0)

    def decode(self, stored: bytes) -> bytes:
        return stored

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[bytes]:
        self.sent.append(self.number)
        if self.number < self.throttled:
            await record(APIRequest(0.0, 1, 429, 0.1, 1, 1.0))
        await asyncio.sleep(0)
        return Reply(b"words", b"words", APIRequest(0.0, 1, 200, 0.1, 1, 1.0, paid=True))

    def looked_up(self, level: str | None) -> None: ...
    def started(self, queue_wait_s: float) -> None: ...
    def stored(self, store_s: float) -> None: ...

    def requested(self, request: APIRequest, cost: float) -> None:
        self.on_requested()


@dataclass
class Run:
    """Many items at once; how each ended, by its number."""

    pay_once: PayOnce
    lanes: PrioritySemaphore
    batch: ParallelOrchestrator[Any, Any]
    ledger: Ledger
    ended: dict[int, BaseException | None] = field(default_factory=dict)

    async def result(self, request: Request) -> None:
        lane = Lane(self.lanes, (0, 0, 0, request.number), self.batch)
        try:
            await self.pay_once.result(request, 0, lane)
            self.ended[request.number] = None
        except SttbatchError as error:
            self.ended[request.number] = error
            self.batch.stop()


@asynccontextmanager
async def opened(folder: Path, *, fails: bool = False) -> AsyncIterator[Run]:
    ledger, lanes = Ledger(fails), PrioritySemaphore(LANES)
    batch = ParallelOrchestrator[Any, Any](lanes, 1)
    spool = ResponseSpool(folder / "answers", LANES)
    pay_once = PayOnce(
        cache=MultiLevelCache((), Nothing()),  # type: ignore[arg-type]
        claims=ledger,  # type: ignore[arg-type]
        spool=spool,
        spans=Nothing(),  # type: ignore[arg-type]
        budget=RunBudget(None),
        closed=lambda: batch.closed,
        stopped=batch.stopped,
        force=False,
    )
    yield Run(pay_once, lanes, batch, ledger)
    await spool.aclose()


class Nothing:
    """A store without anything."""

    async def get_many(self, keys: object) -> dict[str, Any]:
        return {}


async def until_all_wait() -> None:
    """Let every task go as far as it can."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_every_answer_that_was_sent_for_is_kept_when_the_ledger_fails(tmp_path: Path) -> None:
    async def main() -> tuple[list[int], list[str]]:
        sent: list[int] = []
        async with opened(tmp_path, fails=True) as run:
            tasks = [asyncio.create_task(run.result(Request(n, sent))) for n in range(ITEMS)]
            await until_all_wait()
            assert len(sent) == LANES, "an answer holds its lane until it is stored"
            run.ledger.may_store.set()
            await asyncio.gather(*tasks)
        return sent, [str(each) for each in run.ended.values() if isinstance(each, StateError)]

    sent, errors = asyncio.run(main())
    assert len(errors) == len(sent) <= 2 * LANES
    assert all("is kept in" in error for error in errors)


def test_after_a_stop_nobody_who_waits_for_a_lane_sends(tmp_path: Path) -> None:
    async def main() -> tuple[list[int], Run]:
        sent: list[int] = []
        async with opened(tmp_path) as run:
            tasks = [asyncio.create_task(run.result(Request(n, sent))) for n in range(ITEMS)]
            await until_all_wait()
            run.batch.stop()
            run.ledger.may_store.set()
            await asyncio.gather(*tasks)
        return sent, run

    sent, run = asyncio.run(main())
    assert len(sent) == LANES
    assert [n for n, error in sorted(run.ended.items()) if error is None] == sorted(sent)
    assert all(isinstance(error, Stopped) for error in run.ended.values() if error is not None)


def test_a_limit_that_is_lowered_meanwhile_hangs_nobody(tmp_path: Path) -> None:
    async def main() -> dict[int, BaseException | None]:
        sent: list[int] = []
        async with opened(tmp_path) as run:
            run.ledger.may_store.set()
            run.lanes.limit = LANES + 2
            requests = [Request(n, sent, throttled=LANES) for n in range(ITEMS)]
            tasks = [asyncio.create_task(run.result(each)) for each in requests]
            await asyncio.sleep(0)
            run.lanes.limit = 1
            async with asyncio.timeout(60):
                await asyncio.gather(*tasks)
        return run.ended

    assert asyncio.run(main()) == dict.fromkeys(range(ITEMS))


def test_a_request_is_counted_among_those_in_flight_when_it_is_observed(tmp_path: Path) -> None:
    async def main() -> list[int]:
        in_use: list[int] = []
        async with opened(tmp_path) as run:
            run.ledger.may_store.set()
            requests = [
                Request(n, [], on_requested=lambda: in_use.append(run.lanes.in_use))
                for n in range(LANES)
            ]
            await asyncio.gather(*map(run.result, requests))
        return in_use

    assert asyncio.run(main())[0] == LANES


def test_an_answer_is_stored_though_a_listener_fails(tmp_path: Path) -> None:
    def fail() -> None:
        raise AssertionError("a bug")

    async def main() -> bool:
        async with opened(tmp_path, fails=True) as run:
            run.ledger.may_store.set()
            await run.result(Request(0, [], on_requested=fail))
        return isinstance(run.ended[0], StateError)

    # What the ledger raises was raised after the bug.
    assert asyncio.run(main())
