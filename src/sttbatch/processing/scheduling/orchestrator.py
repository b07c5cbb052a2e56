"""Lanes shared by all recordings of a batch, fed by a bounded number of cut chunks."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from sttbatch.processing.scheduling.priority_semaphore import Lane, Priority, PrioritySemaphore

R = TypeVar("R")
C = TypeVar("C")
NextChunk: TypeAlias = Callable[[], Awaitable[C | None]]

CHUNKS_AHEAD = 2
"""Chunks that are cut while all lanes are busy, so that no lane waits for a cut."""

COMPLETIONS_AT_ONCE = 4
"""Recordings that are completed at the same time; more would only wait for the same disk."""


@dataclass(frozen=True, slots=True)
class Steps(Generic[R, C]):
    """The steps of a batch; whatever any of them raises ends the run.

    Attributes:
        cut: opens a recording; what its context manager yields is awaited for one chunk after
            the other until it returns None.
        process: processes one chunk, which exists until this returns. It enters its lane to send;
            chunks that wait for one enter in the order of their recordings.
        complete: is called for a recording whenever one of its chunks, or its cut, has ended.
    """

    cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]]
    process: Callable[[C, Lane], Awaitable[None]]
    complete: Callable[[R], Awaitable[None]]


class ParallelOrchestrator(Generic[R, C]):
    """Cuts recordings, a few at a time, and admits their chunks to the lanes.

    Never more than `limit + 2` chunks exist at once. A free lane and room for another chunk go to
    the earliest recording that waits for them, so recordings end one after the other.

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
                            chunk = await self._cut_one(next_chunk, (rank, index))
                            if chunk is None:
                                break
                            running.create_task(
                                self._process(recording, chunk, (rank, index), steps)
                            )
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
