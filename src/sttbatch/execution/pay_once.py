"""PayOnce: look up, claim, wait for a lane, send, store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from sttbatch.caching.multi_level_cache import MultiLevelCache
from sttbatch.caching.response_spool import ResponseSpool
from sttbatch.core.engine import APIRequest, RecordRequest
from sttbatch.core.errors import BudgetReached, ChunkHindered, StateError, Stopped
from sttbatch.core.ports import ChunkIndex
from sttbatch.core.work import (
    ROUNDING,
    Answered,
    Granted,
    HeldBy,
    OverBudget,
    RequestRecord,
    Verdict,
    Void,
    WorkItem,
)
from sttbatch.processing.scheduling.orchestrator import Lane
from sttbatch.queue.job_queue import WorkClaims

T = TypeVar("T")


class Reply(Struct, Generic[T], frozen=True):
    """An engine's answer: the result, its stored form, and the request, which is not booked yet.

    `billed` is the item with the usage and the cost that the answer tells, if they were estimated.
    """

    result: T
    stored: bytes
    request: APIRequest
    billed: WorkItem | None = None


class PaidRequest(Protocol[T]):
    """A request of one kind of job, with callbacks for its progress."""

    @property
    def item(self) -> WorkItem: ...

    def decode(self, stored: bytes) -> T | None:
        """The result from its stored form; None: it is damaged, and counts as missing."""

    async def send(self, record: RecordRequest, stopped: asyncio.Event) -> Reply[T]:
        """Send it to the engine; `record` and `stopped` are as in `Engine.transcribe`."""

    def looked_up(self, level: str | None) -> None:
        """The cache was read; `level` had the result, None: a miss."""

    def started(self, queue_wait_s: float) -> None:
        """It has a lane."""

    def requested(self, request: APIRequest, cost: float) -> None:
        """A request ended, with or without a result; `cost` is what it cost, or may have cost."""

    def stored(self, store_s: float) -> None:
        """Its result is in the ledger, which took `store_s` seconds."""


@dataclass(slots=True)
class RunBudget:
    """The budget of one run; costs are reserved before sending, so that lanes cannot exceed it."""

    limit: float | None
    spent: float = 0.0
    reserved: float = 0.0

    @contextmanager
    def reserved_for(self, cost: float) -> Iterator[None]:
        """Reserve `cost`; raises BudgetReached when it would exceed the limit."""
        planned = self.spent + self.reserved + cost
        if self.limit is not None and planned > self.limit + ROUNDING:
            raise BudgetReached(
                f"sending more would cost more than --max-cost {self.limit:g} "
                f"({self.spent + self.reserved:.2f} are spent); run again to continue"
            )
        self.reserved += cost
        try:
            yield
        finally:
            self.reserved -= cost


class PayOnce(Struct, frozen=True, kw_only=True):
    """Never sends what is stored, and stores every result before it counts.

    An item is looked up and claimed without a lane, which is held from the request until the result
    is stored: so no more than a lane's may be lost by a kill. If the ledger cannot be written, the
    spool keeps the result, in disk space that is reserved before the claim.

    Args:
        closed: whether nothing more may be claimed.
        stopped: ends the waits for another attempt.
        force: send items even if their results are stored.
    """

    cache: MultiLevelCache
    claims: WorkClaims
    spool: ResponseSpool
    spans: ChunkIndex
    budget: RunBudget
    closed: Callable[[], bool]
    stopped: asyncio.Event
    force: bool

    async def result(self, request: PaidRequest[T], task_id: int, lane: Lane) -> tuple[T, bool]:
        """The result, and whether it was already stored.

        Raises:
            BudgetReached: it would exceed a budget.
            Stopped: the run ends before it could be claimed.
            ChunkHindered: the claim on its job is void.
            StateError: the ledger cannot be used.
            SttbatchError: as `request.send` raises.
        """
        item = request.item
        # The claim, which most need, tells whether the ledger has it.
        stored = await self._stored(request, in_fronts=not self.closed())
        if stored is not None:
            if item.span is not None:
                await self.spans.remember(item.span)
            return stored, True
        while not self.closed():
            verdict = await self._claim(item, task_id)
            if not isinstance(verdict, Answered | HeldBy):
                request.looked_up(None)
            if isinstance(verdict, Granted):
                return await self._sent(request, verdict, lane), False
            if isinstance(verdict, OverBudget):
                raise BudgetReached(f"{verdict.message}; run again to continue")
            if isinstance(verdict, Void):
                raise ChunkHindered(
                    "another process took this one for dead, and took over its recording"
                )
            if isinstance(verdict, HeldBy):
                await self.claims.wait_until_ended(item.key, self.closed)
            stored = await self._stored(request)
            if stored is not None:
                return stored, True
        raise Stopped

    async def _claim(self, item: WorkItem, task_id: int) -> Verdict:
        """Claim an item; on a full disk, what is stored is answered without a claim."""
        try:
            self.spool.reserve()
            return await self.claims.claim(item, task_id, force=self.force)
        except StateError:
            if not self.force and await self.cache.authority.get_many([item.key]):
                return Answered()
            raise

    async def _stored(self, request: PaidRequest[T], *, in_fronts: bool = False) -> T | None:
        """The stored result, or one that a front level has; None: there is none."""
        item = request.item
        look_up = self.cache.get_from_fronts if in_fronts else self.cache.get
        hit = None if self.force else await look_up(item.key, item.file_sha256)
        result = request.decode(hit.value) if hit is not None else None
        if result is not None or not in_fronts:
            request.looked_up(hit.level if hit is not None and result is not None else None)
        return result

    async def _sent(self, request: PaidRequest[T], granted: Granted, lane: Lane) -> T:
        item = request.item

        async def record(failed: APIRequest) -> None:
            self._account(request, failed, item)
            booked = RequestRecord(item, failed, None, granted.worker_id, granted.task_id)
            with self.spool.spooling(booked):
                await self.claims.ledger.record(booked)
            if failed.throttled:
                # An immediate retry would exceed the lower limit again.
                await lane.yield_if_over_limit()

        reply = None
        try:
            with self.budget.reserved_for(item.cost):
                queued_at_s = time.monotonic()
                await lane.enter()
                # The disk may have become full while it waited.
                self.spool.reserve()
                request.started(time.monotonic() - queued_at_s)
                reply = await request.send(record, self.stopped)
            billed = reply.billed or item
            try:
                self._account(request, reply.request, billed)
            finally:
                await self._store(request, granted, billed, reply)
            # The front levels are filled while the next request is in the lane.
            lane.leave()
            await self.cache.fill_fronts(item.key, reply.stored)
        except BaseException as error:
            if reply is None:
                # Its requests are booked, so its reservation ends.
                await self.claims.give_up(granted, str(error) or type(error).__name__)
            raise
        finally:
            lane.leave()
        return reply.result

    async def _store(
        self, request: PaidRequest[T], granted: Granted, billed: WorkItem, reply: Reply[T]
    ) -> None:
        answered = RequestRecord(
            billed, reply.request, reply.stored, granted.worker_id, granted.task_id
        )
        begun_s = time.monotonic()
        with self.spool.spooling(answered):
            await self.claims.ledger.store(granted, answered)
        request.stored(time.monotonic() - begun_s)

    def _account(self, request: PaidRequest[T], ended: APIRequest, billed: WorkItem) -> None:
        cost = billed.cost if ended.paid or ended.maybe_paid else 0.0
        self.budget.spent += cost
        request.requested(ended, cost)
