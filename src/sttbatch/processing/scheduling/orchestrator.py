"""ParallelOrchestrator: lanes shared by all recordings, and a bounded number of cut chunks."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import weakref
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from sttbatch.core.errors import Stopped

R = TypeVar("R")
C = TypeVar("C")
NextChunk: TypeAlias = Callable[[], Awaitable[C | None]]

CHUNKS_AHEAD = 2
"""Chunks that are cut in advance while all lanes are busy."""

COMPLETIONS_AT_ONCE = 4
"""Recordings that are completed at the same time; more would wait for the same disk."""

Priority: TypeAlias = tuple[int, int, int, int]
"""(-urgency, number of the batch, of the recording in it, of the chunk); the lowest is first."""


class PrioritySemaphore:
    """A semaphore with priorities and a variable limit.

    After the limit was lowered, more permits may be in use until they are released.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The arrival number makes entries comparable.
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
        """Wait for a permit, the lowest priority first; False: the batch was closed."""
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
        """Grant no more permits to one of the batches; those in use stay valid."""
        self._closed.add(batch)
        for _, _, permit, waiting in self._waiters:
            if waiting is batch and not permit.done():
                permit.set_result(False)

    def _wake_waiters(self) -> None:
        while self._waiters and self.in_use < self._limit:
            permit = heapq.heappop(self._waiters)[2]
            # Cancelled waiters are skipped.
            if not permit.done():
                self.in_use += 1
                permit.set_result(True)


@dataclass(slots=True, eq=False)
class Lane:
    """A chunk's access to one of the lanes, which it holds while its request is in flight."""

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
        """If more lanes are in use than the limit allows, leave this one and enter another."""
        if self._held and self.lanes.in_use > self.lanes.limit:
            self.leave()
            await self.enter()


class Steps(Struct, Generic[R, C], frozen=True):
    """The steps of a batch; an exception in any of them ends the run.

    Attributes:
        cut: opens a recording; its context manager yields a function that returns one chunk after
            another, then None.
        process: processes one chunk, and enters its lane to send it; chunks enter in the order of
            their recordings.
        complete: called for a recording whenever one of its chunks, or its cut, has ended.
        urgency: of an open recording; chunks of the highest urgency enter lanes first.
    """

    cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]]
    process: Callable[[C, Lane], Awaitable[None]]
    complete: Callable[[R], Awaitable[None]]
    urgency: Callable[[R], int] = lambda _: 0


class ParallelOrchestrator(Generic[R, C]):
    """Cuts recordings, a few at a time, and admits their chunks to the lanes.

    At most `limit + 2` chunks exist at once. Lanes and the permission to cut go to the first of the
    most urgent recordings, so that recordings end one after another.

    Args:
        lanes: of the process; other batches may use them too.
        cutters: recordings that are open at the same time.
        slots: of chunks that exist at once, shared as lanes are; None: those of this batch alone.

    Attributes:
        closed: no new recording or chunk is begun.
        stopped: set by `stop`; ends the waits for another attempt.
    """

    def __init__(
        self, lanes: PrioritySemaphore, cutters: int, slots: PrioritySemaphore | None = None
    ) -> None:
        self._cutters = cutters
        self.lanes = lanes
        self._slots = slots or PrioritySemaphore(lanes.limit + CHUNKS_AHEAD)
        self._number = next(lanes.batches)
        self._completing = asyncio.Semaphore(COMPLETIONS_AT_ONCE)
        self.closed = False
        self.stopped = asyncio.Event()

    def close(self) -> None:
        """Cut no more chunks; existing ones may still enter lanes."""
        self.closed = True
        self._slots.close(self)

    def stop(self) -> None:
        """Admit no more chunks to lanes; those in one are finished."""
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
        # Any batch may have changed the number of lanes.
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
            # Before its slot is released, so that waiting completions are bounded too.
            await self._completing.acquire()
        finally:
            self._slots.release()
        await self._complete(recording, steps)

    async def _complete(self, recording: R, steps: Steps[R, C]) -> None:
        try:
            await steps.complete(recording)
        finally:
            self._completing.release()
