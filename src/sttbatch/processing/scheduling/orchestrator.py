"""Lanes shared by all recordings of a batch, fed by a bounded number of cut chunks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from sttbatch.core.models import ConcurrencyLimit
from sttbatch.processing.scheduling.priority_semaphore import Lane, Order, PrioritySemaphore

R = TypeVar("R")
C = TypeVar("C")
NextChunk: TypeAlias = Callable[[], Awaitable[C | None]]

CHUNKS_AHEAD = 2
"""Cut while all lanes wait, so that no lane waits for a cut."""

SETTLING = 4
"""Recordings brought to their end at the same time; more would only wait for the same disk."""


@dataclass(frozen=True, slots=True)
class Steps(Generic[R, C]):
    """What is done with recordings and chunks; what any of them raises ends the run.

    Attributes:
        cut: opens a recording; what its context manager yields is awaited for one chunk after
            the other until it answers None.
        process: one chunk, which exists until this returns. It enters its lane to send; chunks
            that wait for one are let in in the order of their recordings.
        settle: a recording one of whose chunks, or whose cut, has just come to its end.
    """

    cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]]
    process: Callable[[C, Lane], Awaitable[None]]
    settle: Callable[[R], Awaitable[None]]


class ParallelOrchestrator(Generic[R, C]):
    """Cuts recordings, a few at a time, and lets their chunks into the lanes.

    Never more than `limit + 2` chunks exist at once. A free lane and room for another chunk go to
    the earliest recording that wants them, so recordings end one after the other.

    Args:
        cutters: recordings that are open at the same time.
    """

    def __init__(self, concurrency: ConcurrencyLimit, cutters: int) -> None:
        self._cutters = cutters
        self._lanes = PrioritySemaphore(concurrency.value)
        self._slots = PrioritySemaphore(concurrency.value + CHUNKS_AHEAD)
        self._settling = asyncio.Semaphore(SETTLING)
        self._closed = False

    @property
    def limit(self) -> int:
        """Lanes that may be taken at once."""
        return self._lanes.limit

    @limit.setter
    def limit(self, lanes: int) -> None:
        self._lanes.limit = lanes
        self._slots.limit = lanes + CHUNKS_AHEAD

    @property
    def in_lanes(self) -> int:
        return self._lanes.taken

    @property
    def closed(self) -> bool:
        """Nothing new is begun any more."""
        return self._closed

    def close(self) -> None:
        """Cut nothing more; chunks that are there may still enter lanes."""
        self._closed = True
        self._slots.close()

    def stop(self) -> None:
        """Let nobody into a lane any more; what is in one is finished."""
        self.close()
        self._lanes.close()

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
                            chunk = await self._cut_one(next_chunk, (rank, index))
                            if chunk is None:
                                break
                            running.create_task(
                                self._bring_through(recording, chunk, (rank, index), steps)
                            )
                    await self._settling.acquire()
                    running.create_task(self._settle(recording, steps))

            for _ in range(self._cutters):
                running.create_task(cutter())

    async def _cut_one(self, next_chunk: NextChunk[C], order: Order) -> C | None:
        if not await self._slots.take(order):
            return None
        chunk = None
        try:
            chunk = await next_chunk()
        finally:
            if chunk is None:
                self._slots.give_back()
        return chunk

    async def _bring_through(
        self, recording: R, chunk: C, order: Order, steps: Steps[R, C]
    ) -> None:
        try:
            await steps.process(chunk, Lane(self._lanes, order))
            # Before its slot is free: what waits for its end is bounded too.
            await self._settling.acquire()
        finally:
            self._slots.give_back()
        await self._settle(recording, steps)

    async def _settle(self, recording: R, steps: Steps[R, C]) -> None:
        try:
            await steps.settle(recording)
        finally:
            self._settling.release()
