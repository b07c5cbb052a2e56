"""Which level answers, for how long, and how much each one holds."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from sttbatch.caching.memory_level import MAX_TTL_S as L1_TTL_S
from sttbatch.caching.memory_level import OVERHEAD_BYTES, MemoryLevel
from sttbatch.core.cache_entries import CacheValue
from sttbatch.database.store import Session
from tests.database.backends import Backend

from .harness import METADATA, Clock, Harness, harness, key
from .second_levels import SecondKind

L2_TTL_S = 24 * 3600


def test_a_hit_is_promoted_and_says_who_answered(
    backend: Backend, second: SecondKind, tmp_path: Path
) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as first:
            await first.cache.put(key(1), b"one", *METADATA)
            assert await first.level_of(key(1)) == "L1"
        async with harness(tmp_path, backend=backend, second=second) as other:
            assert [await other.level_of(key(1)) for _ in range(2)] == ["L2", "L1"]
        second.lose(tmp_path)
        async with harness(tmp_path, backend=backend, second=second) as third:
            assert [await third.level_of(key(1)) for _ in range(2)] == ["L3", "L1"]
        async with harness(tmp_path, backend=backend, second=second) as fourth:
            assert await fourth.level_of(key(1)) == "L2"
            assert await fourth.level_of(key(2)) is None

    asyncio.run(story())


def test_values_are_true_for_as_long_as_their_level_allows(
    backend: Backend, second: SecondKind, tmp_path: Path
) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as state:
            await state.cache.put(key(1), b"one", *METADATA)
            state.clock.now += L1_TTL_S - 1
            assert await state.level_of(key(1)) == "L1"
            state.clock.now += 1
            assert await state.level_of(key(1)) == "L2"
            state.clock.now += L2_TTL_S
            assert await state.level_of(key(1)) == "L3"
            state.clock.now += 100 * 365 * L2_TTL_S
            assert await state.level_of(key(1)) == "L3"

    asyncio.run(story())


@pytest.mark.parametrize("after_s", [0, 1, 5])
def test_a_time_to_live_holds_in_every_level(
    backend: Backend, second: SecondKind, tmp_path: Path, after_s: float
) -> None:
    async def story() -> None:
        # No time that passes meanwhile makes a difference.
        clock = Clock(time.time() + 10**6)
        async with harness(tmp_path, backend=backend, second=second, clock=clock) as state:
            await state.put_expiring(key(1), b"one", clock() + 10)
            state.clock.now += after_s
            # Promoted late, it must not live longer for that.
            await state.memory.clear()
            await state.l2.clear()
            assert await state.level_of(key(1)) == "L3"
            state.clock.now += 9.999 - after_s
            for level in state.cache.levels:
                assert key(1) in await level.get_many([key(1)])
            state.clock.now += 0.01
            for level in state.cache.levels:
                assert await level.get_many([key(1)]) == {}
            assert await state.level_of(key(1)) is None

    asyncio.run(story())


def test_an_age_that_the_user_sets_holds_for_what_is_stored_already(
    backend: Backend, second: SecondKind, tmp_path: Path
) -> None:
    async def story() -> None:
        clock = Clock()
        async with harness(tmp_path, backend=backend, second=second, clock=clock) as state:
            await state.cache.put(key(1), b"one", *METADATA)
        async with harness(
            tmp_path, backend=backend, second=second, clock=clock, max_age_s=100
        ) as state:
            await state.l2.clear()
            clock.now += 99
            assert await state.level_of(key(1)) == "L3"
            clock.now += 2
            assert await state.level_of(key(1)) is None
            assert await state.ledger.delete_expired() == 1

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
        await level.put_many({key(11): CacheValue(random.randbytes(100_000))})
        assert (await level.usage()).entries == 10, "what can never fit drives nothing out"
        for number in range(200):
            await level.put_many({key(number): CacheValue(bytes(7 * number))})
            usage = await level.usage()
            assert usage.size_bytes <= 10 * (100 + OVERHEAD_BYTES)

    asyncio.run(story())


def test_memory_holds_the_words_of_many_chunks_compressed() -> None:
    words = b"".join(b'{"text":"%04x","start_s":%d.4}' % (n, n) for n in range(2_000))
    random_bytes = random.randbytes(50_000)

    async def story() -> None:
        level = MemoryLevel(len(words))
        entries = {key(n): CacheValue(words, 1e12) for n in range(3)}
        await level.put_many(entries)
        assert {
            k: v.data for k, v in (await level.get_many(list(entries))).items()
        } == dict.fromkeys(entries, words)
        # What compression does not make shorter is kept as it is.
        await level.put_many({key(3): CacheValue(random_bytes)})
        assert (await level.get_many([key(3)]))[key(3)].data == random_bytes

    asyncio.run(story())


def test_the_disk_level_keeps_to_its_size(tmp_path: Path) -> None:
    async def story() -> None:
        limit = 1_000_000
        async with harness(tmp_path, disk_bytes=limit) as state:
            await state.l2.put_many({key(1): CacheValue(bytes(limit // 4))})
            assert await state.l2.get_many([key(1)]) == {}, "it would drive out everything else"
            for number in range(300):
                await state.l2.put_many({key(number): CacheValue(bytes(20_000))})
                file = tmp_path / "l2" / "cache.db"
                assert file.stat().st_size <= limit + 64 * 1024
            assert len(await state.l2.get_many([key(299)])) == 1
            assert await state.l2.get_many([key(0)]) == {}

    asyncio.run(story())


def test_many_are_found_by_few_queries(backend: Backend, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            await state.database.write(lambda db: _fill(state, db, 1200))
            async with backend.traced(state.database) as statements:
                found = await state.ledger.get_many([key(n) for n in range(1300)])
                present = await state.ledger.present([key(n) for n in range(1300)])
            assert len(found) == 1200
            assert present == set(found)
            assert sum("FROM cache_entries" in text for text, _ in statements) == 3 + 3

    asyncio.run(story())


def _fill(state: Harness, db: Session, count: int) -> None:
    for n in range(count):
        state.ledger.insert(db, key(n), CacheValue(b"v%d" % n), *METADATA)


def test_reads_are_counted_without_a_write_for_each(backend: Backend, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            for number in range(3):
                await state.cache.put(key(number), b"value", *METADATA)
            async with backend.traced(state.database) as statements:
                for number, reads in enumerate((1, 40, 7)):
                    for _ in range(reads):
                        await state.cache.get(key(number))
            assert not [text for text, _ in statements if "access_count" in text]
            await state.cache.flush()
            assert await state.ledger.most_used(2) == ((key(1), 40), (key(2), 7))

    asyncio.run(story())


def test_who_reads_an_entry_has_a_part_in_it(backend: Backend, tmp_path: Path) -> None:
    """Audio that two recordings share is paid once and forgotten with either."""

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            await state.cache.put(key(1), b"value", *METADATA)
            await state.cache.get(key(1), "cd" * 32)
            await state.cache.flush()
            assert await state.ledger.keys_of(["cd" * 32]) == (key(1),)
            await state.cache.put(key(1), b"anew", *METADATA)
            assert await state.ledger.keys_of(["cd" * 32]) == (key(1),)

    asyncio.run(story())
