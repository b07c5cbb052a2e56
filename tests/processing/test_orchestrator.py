"""Bounded, in order, and always to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sttbatch.core.models import ConcurrencyLimit
from sttbatch.processing.orchestrator import CHUNKS_AHEAD, ParallelOrchestrator

Cut = Callable[[], Awaitable[str | None]]


class Workshop:
    """Recordings are numbers of chunks; counts what exists and runs."""

    def __init__(self, lanes: int, cutters: int = 2) -> None:
        self.lanes = ParallelOrchestrator[int, str](ConcurrencyLimit(lanes), cutters)
        self.exist = self.most_exist = self.run_now = self.most_run = 0
        self.done: list[str] = []
        self.dropped: list[str] = []
        self.cutting = self.most_cutting = 0
        self.work_s = 0.001
        self.after: Callable[[str], None] = lambda _: None
        self.fail_cut_at: str | None = None

    @asynccontextmanager
    async def cut(self, recording: int) -> AsyncIterator[Cut]:
        self.cutting += 1
        self.most_cutting = max(self.most_cutting, self.cutting)
        left = iter(range(recording))

        async def next_chunk() -> str | None:
            await asyncio.sleep(0)
            number = next(left, None)
            if number is None:
                return None
            name = f"{recording}.{number}"
            if name == self.fail_cut_at:
                raise OSError(name)
            self.exist += 1
            self.most_exist = max(self.most_exist, self.exist)
            return name

        try:
            yield next_chunk
        except OSError:
            self.done.append("failed")
        finally:
            self.cutting -= 1

    async def process(self, chunk: str) -> None:
        self.run_now += 1
        self.most_run = max(self.most_run, self.run_now)
        await asyncio.sleep(self.work_s)
        self.run_now -= 1
        self.exist -= 1
        self.done.append(chunk)
        self.after(chunk)

    def drop(self, chunk: str) -> None:
        self.exist -= 1
        self.dropped.append(chunk)

    def run(self, recordings: list[int]) -> None:
        async def main() -> None:
            async with asyncio.timeout(10):
                await self.lanes.run(recordings, self.cut, self.process, self.drop)

        asyncio.run(main())


@pytest.mark.parametrize("lanes", [1, 3, 10])
def test_every_chunk_once_and_never_too_many(lanes: int) -> None:
    shop = Workshop(lanes)
    recordings = [30, 1, 0, 7, 12, 0]
    shop.run(recordings)
    assert sorted(shop.done) == sorted(f"{n}.{k}" for n in recordings for k in range(n))
    assert shop.most_run == lanes
    assert shop.most_exist <= lanes + CHUNKS_AHEAD
    assert shop.most_cutting == 2
    assert shop.exist == 0
    assert shop.dropped == []


@pytest.mark.parametrize("recordings", [[], [0], [0] * 20])
def test_recordings_without_chunks_are_no_deadlock(recordings: list[int]) -> None:
    shop = Workshop(2)
    shop.run(recordings)
    assert shop.done == []


@pytest.mark.parametrize("cutters", [1, 2])
def test_stop_finishes_what_runs_and_drops_what_waits(cutters: int) -> None:
    shop = Workshop(3, cutters)
    shop.after = lambda _: shop.lanes.stop() if len(shop.done) == 5 else None
    shop.run([50, 51, 52])
    assert 5 <= len(shop.done) <= 5 + 3
    assert len(shop.dropped) <= 3 + CHUNKS_AHEAD
    assert shop.exist == 0
    assert shop.lanes.stopping


def test_stop_before_the_start_begins_nothing() -> None:
    shop = Workshop(3)
    shop.lanes.stop()
    shop.run([5, 5])
    assert shop.done == []
    assert shop.most_exist == 0


def test_a_recording_that_fails_gives_its_place_back() -> None:
    """More failures than there are slots, and still everything else is done."""
    shop = Workshop(1, 1)
    shop.fail_cut_at = "3.2"
    shop.run([3] * 8 + [2])
    assert shop.done.count("failed") == 8
    assert shop.done.count("2.1") == 1
    assert shop.most_exist <= 1 + CHUNKS_AHEAD


def test_a_bug_in_a_lane_ends_the_run() -> None:
    shop = Workshop(2)

    def broken(chunk: str) -> None:
        raise RuntimeError(chunk)

    shop.after = broken
    with pytest.raises(ExceptionGroup) as raised:
        shop.run([20, 20])
    assert raised.group_contains(RuntimeError)


def test_a_cut_is_ready_before_a_lane_asks_for_it() -> None:
    """While all lanes wait for answers, the next two chunks are already there."""
    shop = Workshop(2)
    shop.work_s = 0.05
    seen: list[int] = []
    shop.after = lambda _: seen.append(shop.exist)
    shop.run([12])
    assert max(seen[2:6]) >= 3
