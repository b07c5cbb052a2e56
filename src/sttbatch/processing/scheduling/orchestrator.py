"""Lanes shared by all recordings of a batch, fed by a bounded number of cut chunks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from sttbatch.core.errors import Stopped

R = TypeVar("R")
C = TypeVar("C")
NextChunk: TypeAlias = Callable[[], Awaitable[C | None]]

CHUNKS_AHEAD = 2
"""Chunks that are cut while all lanes are busy, so that no lane waits for a cut."""

COMPLETIONS_AT_ONCE = 4
"""Recordings that are completed at the same time; more would only wait for the same disk."""

Priority: TypeAlias = tuple[int, int, int, int]
"""(-urgency, number of the batch, of the recording in it, of the chunk): the lowest comes first."""


class PrioritySemaphore:
    """At most `limit` permits are in use at once; above it, for a while after it fell."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Each with its number, so that no two compare further than that.
        self._waiters: list[tuple[Priority, int, asyncio.Future[bool], object]] = []
        self._arrivals = itertools.count()
        self._closed: weakref.WeakSet[object] = weakref.WeakSet()
        self.batches = itertools.count()
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


@dataclass(slots=True, eq=False)
class Lane:
    """A chunk's access to a lane, which it holds while its request is in flight."""

    lanes: PrioritySemaphore
    priority: Priority
    batch: object
    _held: bool = False

    async def enter(self) -> None:
        """Wait for a lane; raises Stopped once the run has ended."""
        if not await self.lanes.acquire(self.priority, self.batch):
            raise Stopped
        self._held = True

    def leave(self) -> None:
        """Release the lane, if one is held."""
        if self._held:
            self._held = False
            self.lanes.release()

    async def yield_if_over_limit(self) -> None:
        """Where more lanes are in use than the limit allows, leave this one and enter another."""
        if self._held and self.lanes.in_use > self.lanes.limit:
            self.leave()
            await self.enter()


@dataclass(frozen=True, slots=True)
class Steps(Generic[R, C]):
    """The steps of a batch; whatever any of them raises ends the run.

    Attributes:
        cut: opens a recording; what its context manager yields is awaited for one chunk after
            the other until it returns None.
        process: processes one chunk, which exists until this returns. It enters its lane to send;
            chunks that wait for one enter in the order of their recordings.
        complete: is called for a recording whenever one of its chunks, or its cut, has ended.
        urgency: of a recording that is open; the chunks of the highest enter lanes first.
    """

    cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]]
    process: Callable[[C, Lane], Awaitable[None]]
    complete: Callable[[R], Awaitable[None]]
    urgency: Callable[[R], int] = lambda _: 0


class ParallelOrchestrator(Generic[R, C]):
    """Cuts recordings, a few at a time, and admits their chunks to the lanes.

    Never more than `limit + 2` chunks exist at once. A free lane and room for another chunk go to
    the earliest of the most urgent recordings that wait for them, so they end one after the other.

    Args:
        lanes: the process's; other batches may use them too.
        cutters: recordings that are open at the same time.

    Attributes:
        closed: no new recording or chunk is begun.
        stopped: set by `stop`; what waits for another attempt ends its wait.
    """

    def __init__(self, lanes: PrioritySemaphore, cutters: int) -> None:
        self._cutters = cutters
        self.lanes = lanes
        self._slots = PrioritySemaphore(lanes.limit + CHUNKS_AHEAD)
        self._number = next(lanes.batches)
        self._completing = asyncio.Semaphore(COMPLETIONS_AT_ONCE)
        self.closed = False
        self.stopped = asyncio.Event()

    def close(self) -> None:
        """Cut nothing more; chunks that exist may still enter lanes."""
        self.closed = True
        self._slots.close(self)

    def stop(self) -> None:
        """Admit no chunk to a lane any more; those in one are finished."""
        self.stopped.set()
        self.close()
        self.lanes.close(self)

    async def run(self, recordings: Iterable[R], steps: Steps[R, C]) -> None:
        """Run to the end, or until `close` or `stop`; recordings are taken in order."""
        source = enumerate(recordings)
        async with asyncio.TaskGroup() as running:

            async def cutter() -> None:
                for rank, recording in source:
                    if self.closed:
                        return
                    async with steps.cut(recording) as next_chunk:
                        for index in itertools.count():
                            priority = (-steps.urgency(recording), self._number, rank, index)
                            chunk = await self._cut_one(next_chunk, priority)
                            if chunk is None:
                                break
                            running.create_task(self._process(recording, chunk, priority, steps))
                    await self._completing.acquire()
                    running.create_task(self._complete(recording, steps))

            for _ in range(self._cutters):
                running.create_task(cutter())

    async def _cut_one(self, next_chunk: NextChunk[C], priority: Priority) -> C | None:
        # Whichever batch has changed the number of lanes, each cuts ahead of all of them.
        self._slots.limit = self.lanes.limit + CHUNKS_AHEAD
        if not await self._slots.acquire(priority, self):
            return None
        chunk = None
        try:
            chunk = await next_chunk()
        finally:
            if chunk is None:
                self._slots.release()
        return chunk

    async def _process(
        self, recording: R, chunk: C, priority: Priority, steps: Steps[R, C]
    ) -> None:
        try:
            await steps.process(chunk, Lane(self.lanes, priority, self))
            # Before its slot is free: what waits for its end is bounded too.
            await self._completing.acquire()
        finally:
            self._slots.release()
        await self._complete(recording, steps)

    async def _complete(self, recording: R, steps: Steps[R, C]) -> None:
        try:
            await steps.complete(recording)
        finally:
            self._completing.release()
