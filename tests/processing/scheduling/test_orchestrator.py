"""Bounded, in order, never idle, and always to an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from sttbatch.core.errors import Stopped
from sttbatch.processing.scheduling.orchestrator import (
    CHUNKS_AHEAD,
    COMPLETIONS_AT_ONCE,
    Lane,
    ParallelOrchestrator,
    PrioritySemaphore,
    Steps,
)
from tests.virtual_time import in_virtual_time

Cut = Callable[[], Awaitable[str | None]]


class Harness:
    """Recordings are numbers of chunks, named for their place; counts what exists and runs."""

    def __init__(self, lanes: int, cutters: int = 2) -> None:
        self.lanes = ParallelOrchestrator[tuple[int, int], str](PrioritySemaphore(lanes), cutters)
        self.exist = self.most_exist = self.run_now = self.most_run = 0
        self.begun: list[str] = []
        self.done: list[str] = []
        self.dropped: list[str] = []
        self.settled: list[int] = []
        self.cutting = self.most_cutting = self.completing = self.most_completing = 0
        self.work_s = 0.001
        self.settle_s = 0.0
        self.after: Callable[[str], None] = lambda _: None
        self.cached: Callable[[str], bool] = lambda _: False
        self.fail_cut_at: str | None = None

    @asynccontextmanager
    async def cut(self, recording: tuple[int, int]) -> AsyncIterator[Cut]:
        place, chunks = recording
        self.cutting += 1
        self.most_cutting = max(self.most_cutting, self.cutting)
        left = iter(range(chunks))

        async def next_chunk() -> str | None:
            await asyncio.sleep(0)
            number = next(left, None)
            if number is None:
                return None
            name = f"{place}.{number}"
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

    async def process(self, chunk: str, lane: Lane) -> None:
        try:
            await asyncio.sleep(0)
            if not self.cached(chunk):
                await self.in_lane(chunk, lane)
            self.done.append(chunk)
        except Stopped:
            self.dropped.append(chunk)
        finally:
            self.exist -= 1
        self.after(chunk)

    async def in_lane(self, chunk: str, lane: Lane) -> None:
        await lane.enter()
        try:
            self.begun.append(chunk)
            self.run_now += 1
            self.most_run = max(self.most_run, self.run_now)
            await asyncio.sleep(self.work_s)
            self.run_now -= 1
        finally:
            lane.leave()

    async def settle(self, recording: tuple[int, int]) -> None:
        self.completing += 1
        self.most_completing = max(self.most_completing, self.completing)
        await asyncio.sleep(self.settle_s)
        self.completing -= 1
        self.settled.append(recording[0])

    def run(self, recordings: Sequence[int]) -> None:
        # However slow the machine: what takes no time here is done before any time has passed.
        steps = Steps(self.cut, self.process, self.settle)
        in_virtual_time(self.lanes.run(list(enumerate(recordings)), steps))


@pytest.mark.parametrize("lanes", [1, 3, 10])
def test_every_chunk_once_and_never_too_many(lanes: int) -> None:
    harness = Harness(lanes)
    recordings = [30, 1, 0, 7, 12, 0]
    harness.run(recordings)
    expected = [f"{place}.{k}" for place, n in enumerate(recordings) for k in range(n)]
    assert sorted(harness.done) == sorted(expected)
    assert harness.most_run == lanes
    assert harness.most_exist <= lanes + CHUNKS_AHEAD
    assert harness.most_cutting == 2
    assert harness.exist == 0
    assert harness.dropped == []


@pytest.mark.parametrize("recordings", [[], [0], [0] * 20])
def test_recordings_without_chunks_are_no_deadlock(recordings: list[int]) -> None:
    harness = Harness(2)
    harness.run(recordings)
    assert harness.done == []
    assert sorted(harness.settled) == list(range(len(recordings)))


def test_recordings_end_one_after_the_other_though_two_are_cut() -> None:
    """What two open recordings have cut, the earlier one's goes first."""
    harness = Harness(4)
    harness.work_s = 0.005
    harness.run([12] * 5)
    ends = [max(harness.done.index(f"{place}.{k}") for k in range(12)) for place in range(5)]
    assert ends == sorted(ends)
    for place in range(4):
        later = [name for name in harness.done[: ends[place]] if int(name[0]) > place]
        # While it is cut and while it comes to its end, lanes are not left empty.
        assert len(later) <= 2 * (4 + CHUNKS_AHEAD)
    order = [tuple(map(int, name.split("."))) for name in harness.begun]
    for place in range(5):
        own = [index for where, index in order if where == place]
        assert own == sorted(own)


def test_no_lane_is_idle_while_there_is_a_chunk() -> None:
    """Whoever leaves is followed at once, across the ends of recordings too."""
    harness = Harness(3)
    chunks = 5 * 6
    inside: list[asyncio.Event] = []

    async def process(_: str, lane: Lane) -> None:
        await lane.enter()
        done = asyncio.Event()
        inside.append(done)
        await done.wait()
        lane.leave()

    async def main() -> None:
        steps = Steps(harness.cut, process, harness.settle)
        running = asyncio.create_task(harness.lanes.run(list(enumerate([5] * 6)), steps))
        for left in range(chunks, 0, -1):
            # More turns of the loop than anything here takes.
            for _turn in range(30):
                await asyncio.sleep(0)
            assert harness.lanes.lanes.in_use == min(3, left)
            inside.pop(0).set()
        await running

    in_virtual_time(main())


def test_what_is_found_takes_no_lane() -> None:
    harness = Harness(1)
    harness.cached = lambda name: not name.endswith(".0")
    harness.run([20, 20])
    assert harness.begun == ["0.0", "1.0"]
    assert len(harness.done) == 40


def test_a_recordings_end_holds_no_lane_and_is_bounded() -> None:
    harness = Harness(2, 3)
    harness.settle_s = 0.01
    harness.run([1] * 40)
    assert sorted(set(harness.settled)) == list(range(40))
    assert 1 < harness.most_completing <= COMPLETIONS_AT_ONCE
    assert harness.most_run == 2


@pytest.mark.parametrize("cutters", [1, 2])
def test_stop_finishes_what_runs_and_drops_what_waits(cutters: int) -> None:
    harness = Harness(3, cutters)
    harness.after = lambda _: harness.lanes.stop() if len(harness.done) == 5 else None
    harness.run([50, 51, 52])
    assert 5 <= len(harness.done) <= 5 + 3
    assert len(harness.dropped) <= 3 + CHUNKS_AHEAD
    assert harness.exist == 0
    assert harness.lanes.closed


def test_close_cuts_nothing_more_and_lets_what_is_there_through() -> None:
    harness = Harness(3)
    harness.after = lambda _: harness.lanes.close() if len(harness.done) == 5 else None
    harness.run([50, 51])
    assert harness.dropped == []
    assert harness.exist == 0
    assert 5 + CHUNKS_AHEAD <= len(harness.done) <= 5 + 3 + CHUNKS_AHEAD


def test_stop_before_the_start_begins_nothing() -> None:
    harness = Harness(3)
    harness.lanes.stop()
    harness.run([5, 5])
    assert harness.done == []
    assert harness.most_exist == 0


def test_a_recording_that_fails_gives_its_place_back() -> None:
    """More failures than there are slots, and still everything else is done."""
    harness = Harness(1, 1)
    recordings = [3] * 8
    for place in range(8):
        harness.fail_cut_at = f"{place}.2"
        harness.run([0] * place + recordings[:1])
    assert harness.done.count("failed") == 8
    harness.fail_cut_at = None
    harness.run([2])
    assert harness.done[-1] == "0.1"
    assert harness.most_exist <= 1 + CHUNKS_AHEAD


def test_a_bug_in_a_chunk_ends_the_run() -> None:
    harness = Harness(2)

    def broken(chunk: str) -> None:
        raise RuntimeError(chunk)

    harness.after = broken
    with pytest.raises(ExceptionGroup) as raised:
        harness.run([20, 20])
    assert raised.group_contains(RuntimeError)


def test_a_cut_is_ready_before_a_lane_asks_for_it() -> None:
    """While all lanes wait for answers, the next two chunks are already there."""
    harness = Harness(2)
    harness.work_s = 0.05
    seen: list[int] = []
    harness.after = lambda _: seen.append(harness.exist)
    harness.run([12])
    assert max(seen[2:6]) >= 3


def test_the_limit_may_fall_and_rise_while_lanes_are_taken() -> None:
    harness = Harness(6)
    runs: list[int] = []

    def after(_: str) -> None:
        harness.lanes.lanes.limit = 2 if 10 <= len(harness.done) < 30 else 5
        if 18 <= len(harness.done) < 30:
            runs.append(harness.run_now)

    harness.after = after
    harness.run([60])
    assert len(harness.done) == 60
    assert max(runs) <= 2
    assert harness.exist == 0


def test_whoever_steps_back_is_let_in_before_later_chunks() -> None:
    harness = Harness(3)
    turns: list[str] = []

    async def process(chunk: str, lane: Lane) -> None:
        await lane.enter()
        if chunk == "0.1":
            harness.lanes.lanes.limit = 1
            await lane.yield_if_over_limit()
        turns.append(chunk)
        await asyncio.sleep(harness.work_s)
        lane.leave()

    async def main() -> None:
        await harness.lanes.run([(0, 8)], Steps(harness.cut, process, harness.settle))

    in_virtual_time(main())
    assert turns == [f"0.{index}" for index in range(8)]


def test_batches_share_lanes_and_the_end_of_one_ends_only_its_own_waits() -> None:
    async def story() -> None:
        lanes = PrioritySemaphore(1)
        ending, lasting = (ParallelOrchestrator[int, int](lanes, 1) for _ in range(2))
        assert await lanes.acquire((0, 0, 0, 0), ending)
        waiting = [
            asyncio.ensure_future(lanes.acquire((0, 0, 0, 1), each)) for each in (ending, lasting)
        ]
        await asyncio.sleep(0)
        lanes.close(ending)
        assert not await waiting[0]
        assert not waiting[1].done()
        assert not await lanes.acquire((0, 0, 0, 2), ending)
        lanes.release()
        assert await waiting[1]
        assert lanes.in_use == 1

    asyncio.run(story())


def test_a_lane_goes_to_the_most_urgent_of_all_batches_then_to_the_earliest() -> None:
    begun: list[str] = []

    async def main() -> None:
        lanes = PrioritySemaphore(1)
        assert await lanes.acquire((0, 0, 0, 0), object())

        async def batch(name: str, urgencies: Sequence[int], ready: asyncio.Event) -> None:
            harness = Harness(1)

            async def process(chunk: str, lane: Lane) -> None:
                if chunk == f"{len(urgencies) - 1}.0":
                    ready.set()
                await lane.enter()
                begun.append(name + chunk)
                lane.leave()

            def urgency(recording: tuple[int, int]) -> int:
                return urgencies[recording[0]]

            steps = Steps(harness.cut, process, harness.settle, urgency)
            orchestrator = ParallelOrchestrator[tuple[int, int], str](lanes, 4)
            await orchestrator.run([(place, 1) for place in range(len(urgencies))], steps)

        async with asyncio.timeout(60), asyncio.TaskGroup() as running:
            for name, urgencies in (("a", [0, 0]), ("b", [0]), ("c", [5])):
                ready = asyncio.Event()
                running.create_task(batch(name, urgencies, ready))
                await ready.wait()
            lanes.release()

    asyncio.run(main())
    assert begun == ["c0.0", "a0.0", "a1.0", "b0.0"]
