"""Lanes shared by all recordings of a batch, fed by a bounded number of cut chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeAlias, TypeVar

from sttbatch.core.models import ConcurrencyLimit

R = TypeVar("R")
C = TypeVar("C")
NextChunk: TypeAlias = Callable[[], Awaitable[C | None]]

CHUNKS_AHEAD = 2
"""Cut while all lanes wait, so that no lane waits for a cut."""


class ParallelOrchestrator(Generic[R, C]):
    """Cuts recordings, a few at a time, and processes their chunks, `concurrency` at a time.

    Never more than `concurrency + 2` chunks exist at once. After `stop` nothing new is cut or
    begun; what is in a lane is finished.

    Args:
        cutters: recordings cut at the same time.
    """

    def __init__(self, concurrency: ConcurrencyLimit, cutters: int) -> None:
        self._lanes = concurrency.value
        self._cutters = cutters
        self._slots = asyncio.Semaphore(self._lanes + CHUNKS_AHEAD)
        self._ready: asyncio.Queue[C | None] = asyncio.Queue()
        self._stopping = asyncio.Event()

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopping.set()
        # Cutters that wait for a slot have to look up.
        for _ in range(self._cutters):
            self._slots.release()

    async def run(
        self,
        recordings: Iterable[R],
        cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]],
        process: Callable[[C], Awaitable[None]],
        drop: Callable[[C], None],
    ) -> None:
        """Run to the end, or until `stop`.

        Args:
            recordings: taken in order, each when a cutter is free for it.
            cut: opens a recording; what its context manager yields is awaited for one chunk
                after the other until it answers None.
            process: one chunk; what it raises ends the run.
            drop: is given each chunk that was cut and will not be processed.
        """
        source = iter(recordings)
        async with asyncio.TaskGroup() as running:
            running.create_task(self._feed(source, cut))
            for _ in range(self._lanes):
                running.create_task(self._lane(process, drop))

    async def _feed(
        self,
        source: Iterator[R],
        cut: Callable[[R], AbstractAsyncContextManager[NextChunk[C]]],
    ) -> None:
        async def cutter() -> None:
            for recording in source:
                if self.stopping:
                    return
                async with cut(recording) as next_chunk:
                    while await self._cut_one(next_chunk):
                        pass

        async with asyncio.TaskGroup() as cutting:
            for _ in range(self._cutters):
                cutting.create_task(cutter())
        for _ in range(self._lanes):
            self._ready.put_nowait(None)

    async def _lane(
        self, process: Callable[[C], Awaitable[None]], drop: Callable[[C], None]
    ) -> None:
        while (chunk := await self._ready.get()) is not None:
            try:
                if self.stopping:
                    drop(chunk)
                else:
                    await process(chunk)
            finally:
                self._slots.release()

    async def _cut_one(self, next_chunk: NextChunk[C]) -> bool:
        await self._slots.acquire()
        chunk = None
        try:
            if not self.stopping:
                chunk = await next_chunk()
        finally:
            if chunk is None:
                self._slots.release()
        if chunk is not None:
            self._ready.put_nowait(chunk)
        return chunk is not None
