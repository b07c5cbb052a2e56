"""A resizable semaphore that admits waiters by priority, and the lanes made of it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from typing import TypeAlias

from sttbatch.core.errors import Stopped

Priority: TypeAlias = tuple[int, int]
"""The position of a recording in its batch, and of a chunk in it; the lowest comes first."""


class PrioritySemaphore:
    """At most `limit` permits are in use at once; above it, for a while after it fell."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Each with its number, so that no two compare further than that.
        self._waiters: list[tuple[Priority, int, asyncio.Future[bool], object]] = []
        self._arrivals = itertools.count()
        self._closed: weakref.WeakSet[object] = weakref.WeakSet()
        self.in_use = 0

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._wake_waiters()

    async def acquire(self, priority: Priority, batch: object) -> bool:
        """Wait for a permit, the lowest priority first; False: it was closed for this batch."""
        if batch in self._closed:
            return False
        if self.in_use < self._limit:
            self.in_use += 1
            return True
        permit: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (priority, next(self._arrivals), permit, batch))
        try:
            return await permit
        except asyncio.CancelledError:
            if permit.done() and not permit.cancelled() and permit.result():
                self.release()
            raise

    def release(self) -> None:
        self.in_use -= 1
        self._wake_waiters()

    def close(self, batch: object) -> None:
        """Grant no more permits to one of the batches that share them; those in use stay valid."""
        self._closed.add(batch)
        for _, _, permit, waiting in self._waiters:
            if waiting is batch and not permit.done():
                permit.set_result(False)

    def _wake_waiters(self) -> None:
        while self._waiters and self.in_use < self._limit:
            permit = heapq.heappop(self._waiters)[2]
            # A waiter that was cancelled meanwhile is passed over.
            if not permit.done():
                self.in_use += 1
                permit.set_result(True)


class Lane:
    """A chunk's access to a lane, which it holds while its request is in flight."""

    def __init__(self, lanes: PrioritySemaphore, priority: Priority, batch: object) -> None:
        self._lanes = lanes
        self._batch = batch
        self._priority = priority
        self._held = False

    async def enter(self) -> None:
        """Wait for a lane; raises Stopped once the run has ended."""
        if not await self._lanes.acquire(self._priority, self._batch):
            raise Stopped
        self._held = True

    def leave(self) -> None:
        """Release the lane, if one is held."""
        if self._held:
            self._held = False
            self._lanes.release()

    async def yield_if_over_limit(self) -> None:
        """Where more lanes are in use than the limit allows, leave this one and enter another."""
        if self._held and self._lanes.in_use > self._lanes.limit:
            self.leave()
            await self.enter()
