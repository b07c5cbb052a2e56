"""L2 of either kind may be lost or damaged: that costs nothing but time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from sttbatch.core.cache_entries import CacheValue

from .harness import METADATA, harness, key
from .second_levels import SecondKind
from .stored_values import VALUES, answers, store, stored


def test_a_lost_level_is_filled_again(second: SecondKind, tmp_path: Path) -> None:
    stored(tmp_path, second)
    second.lose(tmp_path)

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            assert await answers(state) == {"L3"}
        async with harness(tmp_path, second=second) as state:
            assert await answers(state) == {"L2"}
            assert state.warnings == []

    asyncio.run(story())


def test_a_level_lost_under_way_stops_nothing(second: SecondKind, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            await state.cache.put(key(50), b"first", *METADATA)
            second.lose(tmp_path)
            await store(state)
            await state.memory.clear()
            await answers(state)
            assert len(state.warnings) <= 1

    asyncio.run(story())


def test_a_damaged_value_is_a_miss_and_stored_anew(second: SecondKind, tmp_path: Path) -> None:
    stored(tmp_path, second)
    second.flip(tmp_path, VALUES[key(3)])

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            assert await state.level_of(key(3)) == "L3"
            assert await answers(state) == {"L1", "L2"}
            await state.memory.clear()
            assert await answers(state) == {"L2"}
            assert state.warnings == []

    asyncio.run(story())


def test_processes_share_the_level(second: SecondKind, tmp_path: Path) -> None:
    """Few writes each: SQLite's locks are not fair, and who waits for ten seconds gives up."""
    program = (
        second.program(tmp_path)
        + """
import asyncio, sys
from sttbatch.core.cache_entries import CacheValue

async def main(own: int) -> None:
    for number in range(40):
        name = f"chunk:{number:064x}"
        found = await level.get_many([name])
        assert not found or found[name].data == b"v" * number, number
        mine = f"own:{own}:{number}"
        await level.put_many({name: CacheValue(b"v" * number), mine: CacheValue(b"")})
        await level.delete([mine])
    await level.aclose()

asyncio.run(main(int(sys.argv[1])))
"""
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(number)]) for number in range(3)
    ]
    assert [each.wait(100) for each in running] == [0, 0, 0]

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            usage = await state.l2.usage()
            assert (usage.entries, usage.size_bytes) == (40, 40 * (32 + 8) + sum(range(40)))
            assert await state.l2.integrity() == ()
            assert all([each.is_sound async for each in state.l2.check()])

    asyncio.run(story())


def test_any_text_is_a_key(second: SecondKind, tmp_path: Path) -> None:
    """Patterns mean what they mean in the ledger, whatever the level's own mean."""
    keys = ["chunk:[1]", "chunk:*", "chunk:?", "chunk:\\", "chunk:[^a]", "слово:\n", "", "chunk:1"]

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            await state.l2.put_many({name: CacheValue(name.encode()) for name in keys})
            found = await state.l2.get_many([*keys, "another"])
            assert {name: value.data for name, value in found.items()} == {
                name: name.encode() for name in keys
            }
            assert await state.l2.delete_matching("chunk:[[]1]") == 1
            assert await state.l2.delete_matching("chunk:\\") == 1
            assert await state.l2.delete_matching("chunk:[*]") == 1
            assert await state.l2.delete(["chunk:?", "another"]) == 1
            assert await state.l2.delete_matching("слово:?") == 1
            assert await state.l2.clear() == 3
            assert (await state.l2.usage()).entries == 0

    asyncio.run(story())
