"""Which level answers, for how long, and how much each one holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sttbatch.caching.levels import CacheValue
from sttbatch.caching.memory_level import MAX_TTL_S as L1_TTL_S
from sttbatch.caching.memory_level import OVERHEAD_BYTES, MemoryLevel
from sttbatch.database.session import Session
from tests.database import sqlite

from .harness import FACTS, Clock, Rooms, key, rooms

L2_TTL_S = 24 * 3600


def test_a_hit_is_promoted_and_says_who_answered(tmp_path: Path) -> None:
    async def story() -> None:
        async with rooms(tmp_path) as first:
            await first.cache.put(key(1), b"one", FACTS)
            assert await first.level_of(key(1)) == "L1"
        async with rooms(tmp_path) as second:
            assert [await second.level_of(key(1)) for _ in range(2)] == ["L2", "L1"]
        for file in (tmp_path / "l2").iterdir():
            file.unlink()
        async with rooms(tmp_path) as third:
            assert [await third.level_of(key(1)) for _ in range(2)] == ["L3", "L1"]
        async with rooms(tmp_path) as fourth:
            assert await fourth.level_of(key(1)) == "L2"
            assert await fourth.level_of(key(2)) is None

    asyncio.run(story())


def test_values_are_true_for_as_long_as_their_level_allows(tmp_path: Path) -> None:
    async def story() -> None:
        async with rooms(tmp_path) as room:
            await room.cache.put(key(1), b"one", FACTS)
            room.clock.now += L1_TTL_S - 1
            assert await room.level_of(key(1)) == "L1"
            room.clock.now += 1
            assert await room.level_of(key(1)) == "L2"
            room.clock.now += L2_TTL_S
            assert await room.level_of(key(1)) == "L3"
            room.clock.now += 100 * 365 * L2_TTL_S
            assert await room.level_of(key(1)) == "L3"

    asyncio.run(story())


@pytest.mark.parametrize("after_s", [0, 1, 5])
def test_a_time_to_live_holds_in_every_level(tmp_path: Path, after_s: float) -> None:
    async def story() -> None:
        async with rooms(tmp_path) as room:
            await room.ledger.put(key(1), CacheValue(b"one", room.clock.now + 10), FACTS)
            room.clock.now += after_s
            # Promoted late, it must not live longer for that.
            await room.memory.clear()
            await room.disk.clear()
            assert await room.level_of(key(1)) == "L3"
            room.clock.now += 9.999 - after_s
            for level in room.cache.levels:
                assert key(1) in await level.get_many([key(1)])
            room.clock.now += 0.01
            for level in room.cache.levels:
                assert await level.get_many([key(1)]) == {}
            assert await room.level_of(key(1)) is None

    asyncio.run(story())


def test_an_age_that_the_user_sets_holds_for_what_is_stored_already(tmp_path: Path) -> None:
    async def story() -> None:
        clock = Clock()
        async with rooms(tmp_path, clock=clock) as room:
            await room.cache.put(key(1), b"one", FACTS)
        async with rooms(tmp_path, clock=clock, max_age_s=100) as room:
            await room.disk.clear()
            clock.now += 99
            assert await room.level_of(key(1)) == "L3"
            clock.now += 2
            assert await room.level_of(key(1)) is None
            assert await room.ledger.delete_expired() == 1

    asyncio.run(story())


def test_memory_is_bounded_and_the_least_recently_used_goes_first() -> None:
    async def story() -> None:
        level = MemoryLevel(10 * (100 + OVERHEAD_BYTES))
        for number in range(10):
            await level.put_many({key(number): CacheValue(bytes(100))})
        assert len(await level.get_many([key(0)])) == 1
        await level.put_many({key(10): CacheValue(bytes(100))})
        assert key(1) not in await level.get_many([key(n) for n in range(11)])
        assert (await level.usage()).entries == 10
        await level.put_many({key(11): CacheValue(bytes(1_000_000))})
        assert (await level.usage()).entries == 10, "what can never fit drives nothing out"
        for number in range(200):
            await level.put_many({key(number): CacheValue(bytes(7 * number))})
            usage = await level.usage()
            assert usage.size_bytes <= 10 * (100 + OVERHEAD_BYTES)

    asyncio.run(story())


def test_the_disk_level_keeps_to_its_size(tmp_path: Path) -> None:
    async def story() -> None:
        limit = 1_000_000
        async with rooms(tmp_path, disk_bytes=limit) as room:
            await room.disk.put_many({key(1): CacheValue(bytes(limit // 4))})
            assert await room.disk.get_many([key(1)]) == {}, "it would drive out everything else"
            for number in range(300):
                await room.disk.put_many({key(number): CacheValue(bytes(20_000))})
                file = tmp_path / "l2" / "cache.db"
                assert file.stat().st_size <= limit + 64 * 1024
            assert len(await room.disk.get_many([key(299)])) == 1
            assert await room.disk.get_many([key(0)]) == {}

    asyncio.run(story())


def test_many_are_found_by_few_queries(tmp_path: Path) -> None:
    async def story() -> None:
        async with rooms(tmp_path) as room:
            await room.database.write(lambda db: _fill(room, db, 1200))
            statements: list[str] = []
            await room.database.read(lambda db: sqlite.trace(db, statements))
            found = await room.cache.get_many([key(n) for n in range(1300)])
            await room.database.read(lambda db: sqlite.connection(db).set_trace_callback(None))
            assert len(found) == 1200
            assert {hit.level for hit in found.values()} == {"L3"}
            assert sum("SELECT" in each for each in statements) <= 3 + 2, "and two to count reads"
            again = await room.cache.get_many([key(n) for n in range(1200)])
            assert {hit.level for hit in again.values()} == {"L1"}

    asyncio.run(story())


def _fill(room: Rooms, db: Session, count: int) -> None:
    from sttbatch.caching.entry_rows import PUT
    from sttbatch.caching.levels import seal

    now = room.clock()
    db.executemany(
        PUT,
        [
            (key(n), b"v%d" % n, seal(key(n), b"v%d" % n), "cloudru", "whisper", 1.0, now, None)
            for n in range(count)
        ],
    )


def test_reads_are_counted_without_a_write_for_each(tmp_path: Path) -> None:
    async def story() -> None:
        async with rooms(tmp_path) as room:
            for number in range(3):
                await room.cache.put(key(number), b"value", FACTS)
            changes = await room.database.read(sqlite.changes)
            for number, reads in enumerate((1, 40, 7)):
                for _ in range(reads):
                    await room.cache.get(key(number))
            assert await room.database.read(sqlite.changes) == changes
            await room.cache.flush()
            assert await room.ledger.most_used(2) == ((key(1), 40), (key(2), 7))

    asyncio.run(story())


def test_who_reads_an_entry_has_a_part_in_it(tmp_path: Path) -> None:
    """Audio that two recordings share is paid once and forgotten with either."""

    async def story() -> None:
        async with rooms(tmp_path) as room:
            await room.cache.put(key(1), b"value", FACTS)
            await room.cache.get(key(1), "cd" * 32)
            await room.cache.flush()
            assert await room.ledger.keys_of(["cd" * 32]) == (key(1),)
            await room.cache.put(key(1), b"anew", FACTS)
            assert await room.ledger.keys_of(["cd" * 32]) == (key(1),)

    asyncio.run(story())
