"""L2 may be lost, damaged or hostile: that costs nothing but time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import random
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import diskcache
import pytest

from sttbatch.caching.bytes_disk import open_cache
from sttbatch.caching.disk_level import DiskLevel
from sttbatch.caching.multi_level_cache import RETRY_AFTER_S
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.options import MIB

from .harness import METADATA, harness, key
from .stored_values import answers, store, stored


def harm_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def harm_database(folder: Path) -> None:
    (folder / "cache.db").write_bytes(b"This is no database. " * 1000)


def harm_length(folder: Path) -> None:
    with (folder / "cache.db").open("r+b") as file:
        file.truncate(5000)


def harm_tables(folder: Path) -> None:
    with sqlite3.connect(folder / "cache.db") as db:
        db.execute("DROP TABLE Cache")
        db.execute("CREATE TABLE Cache (something TEXT)")
    db.close()


def harm_settings(folder: Path) -> None:
    with sqlite3.connect(folder / "cache.db") as db:
        db.execute("UPDATE Settings SET value = x'00'")
        db.execute("INSERT INTO Settings VALUES ('disk_surprise', 1)")
    db.close()


@pytest.mark.parametrize(
    "harm", [harm_folder, harm_database, harm_length, harm_tables, harm_settings]
)
def test_a_broken_level_is_a_miss_and_one_warning(tmp_path: Path, harm: object) -> None:
    stored(tmp_path)
    assert callable(harm)
    harm(tmp_path / "l2")

    async def story() -> None:
        async with harness(tmp_path) as state:
            assert await answers(state) == {"L3"}
            await state.cache.put(key(99), b"another", *METADATA)
            assert len(state.warnings) == 1
            assert "L2" in state.warnings[0]

    asyncio.run(story())


def test_a_level_that_works_again_is_used_again(tmp_path: Path) -> None:
    """It is tried every 30 s, and one incident is one warning."""
    stored(tmp_path)
    (tmp_path / "l2").rename(tmp_path / "intact")

    async def story() -> None:
        async with harness(tmp_path) as state:
            for incident in (1, 2):
                file = tmp_path / "l2"
                file.write_text("not a folder")
                for _ in range(3):
                    await state.cache.put(key(99), b"another", *METADATA)
                    assert len(state.warnings) == incident
                    state.clock.now += RETRY_AFTER_S
                file.unlink()
                (tmp_path / "intact").rename(tmp_path / "l2")
                await state.memory.clear()
                assert await answers(state) == {"L2"}
                await state.cache.put(key(99), b"another", *METADATA)
                await state.memory.clear()
                assert await state.level_of(key(99)) == "L2"
                (tmp_path / "l2").rename(tmp_path / "intact")

    asyncio.run(story())


def test_a_full_disk_under_the_level_stops_nothing(tmp_path: Path) -> None:
    """/dev/full stands for the disk: every write to it fails with ENOSPC."""
    (tmp_path / "l2").mkdir(mode=0o700)
    (tmp_path / "l2" / "cache.db").symlink_to("/dev/full")

    async def story() -> None:
        async with harness(tmp_path) as state:
            await store(state)
            await state.memory.clear()
            assert await answers(state) == {"L3"}
            assert len(state.warnings) == 1

    asyncio.run(story())


def test_state_is_private(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        stored(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "l2").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "l2").iterdir())
    assert files
    for file in files:
        assert file.stat().st_mode & 0o777 == 0o600, file


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 8))]
)
def test_no_flipped_byte_becomes_a_wrong_value(tmp_path: Path, part: int) -> None:
    """In any file of L2, at any place: the answer is right, whoever gives it."""
    stored(tmp_path)
    files = [path for path in (tmp_path / "l2").rglob("*") if path.stat().st_size]
    chance = random.Random(part)

    async def story() -> None:
        for file in files:
            whole = file.read_bytes()
            # Headers and pages of settings are small but decide much.
            offsets = [part * 16 + n for n in range(16)]
            offsets += [chance.randrange(len(whole)) for _ in range(20)]
            for offset in offsets:
                flipped = bytearray(whole)
                flipped[offset] ^= 1 << chance.randrange(8)
                file.write_bytes(flipped)
                async with harness(tmp_path) as state:
                    await answers(state)
                    assert len(state.warnings) <= 1
                file.write_bytes(whole)

    asyncio.run(story())


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (f"touch {self.target}",))


@pytest.mark.parametrize("raw", [0, 1])
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_pickle_is_never_opened(tmp_path: Path, mode: int, raw: int) -> None:
    stored(tmp_path)
    mark = tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(mark))
    with sqlite3.connect(tmp_path / "l2" / "cache.db") as db:
        db.execute("UPDATE Cache SET value = ?, mode = ?", (bomb, mode))
        db.execute(
            "INSERT INTO Cache (key, raw, mode, value) VALUES (?, ?, ?, ?)", (bomb, raw, mode, bomb)
        )
    db.close()

    async def story() -> None:
        async with harness(tmp_path) as state:
            assert await answers(state) == {"L3"}
            assert [each async for each in state.l2.check() if not each.is_sound]
            await state.l2.delete_matching("chunk:*")
            await state.l2.clear()

    asyncio.run(story())
    assert not mark.exists()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_path_in_a_row_is_neither_read_nor_removed(tmp_path: Path, mode: int) -> None:
    stored(tmp_path)
    victim = tmp_path / "victim"
    victim.write_bytes(b"private")
    inside = tmp_path / "l2" / "inside.val"
    inside.write_bytes(b"private")
    names = [str(victim), "../victim", "inside.val"]
    with sqlite3.connect(tmp_path / "l2" / "cache.db") as db:
        for number, name in enumerate(names):
            db.execute(
                "UPDATE Cache SET mode = ?, filename = ?, value = NULL WHERE key = ?",
                (mode, name, key(number)),
            )
    db.close()

    async def story() -> None:
        async with harness(tmp_path) as state:
            assert await answers(state) == {"L2", "L3"}
            assert await state.l2.get_many([key(0)]) != {}, "written anew, with a value this time"
            await state.l2.delete([key(0)])
            state.clock.now += 10**6
            await state.l2.delete_expired()
            await state.l2.clear()

    asyncio.run(story())
    assert victim.read_bytes() == inside.read_bytes() == b"private"


def test_what_expired_is_deleted_too(tmp_path: Path) -> None:
    """diskcache's own delete passes over it."""

    async def story() -> None:
        async with harness(tmp_path) as state:
            await state.l2.put_many({key(1): CacheValue(b"word", state.clock.now + 0.001)})
            await asyncio.sleep(0.01)
            assert await state.l2.delete([key(1)]) == 1

    asyncio.run(story())


def test_a_lock_while_it_is_opened_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As diskcache drops its indexes without waiting for others that write."""
    drop, locked = diskcache.Cache.drop_tag_index, iter([True, True, False])

    def drop_tag_index(cache: object) -> None:
        if next(locked):
            raise sqlite3.OperationalError("database is locked")
        drop(cache)

    monkeypatch.setattr(diskcache.Cache, "drop_tag_index", drop_tag_index)

    async def story() -> None:
        async with harness(tmp_path) as state:
            await store(state)
            await state.memory.clear()
            assert await answers(state) == {"L2"}
            assert state.warnings == []

    asyncio.run(story())


def test_values_wait_for_the_disk_though_settings_did_not(tmp_path: Path) -> None:
    cache: Any = open_cache(tmp_path, 1 << 20)
    assert cache._sql("PRAGMA synchronous").fetchone() == (1,)
    cache.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as db:
        query = "SELECT value FROM Settings WHERE key = 'sqlite_synchronous'"
        assert db.execute(query).fetchone() == (1,)


def test_what_is_stored_at_a_time_is_written_together(tmp_path: Path) -> None:
    async def main() -> tuple[int, set[str]]:
        level = DiskLevel(tmp_path / "l2", 64 * MIB)
        await level.put_many({"first": CacheValue(b"1")})

        def commits() -> int:
            # SQLite counts them in the header of the file.
            return int.from_bytes((tmp_path / "l2" / "cache.db").read_bytes()[24:28])

        before, held = commits(), threading.Event()
        holding = level._thread.run(held.wait)
        storing = [
            asyncio.ensure_future(level.put_many({f"{n}": CacheValue(b"x")})) for n in range(50)
        ]
        deleting = asyncio.ensure_future(level.delete(["first", "7"]))
        await asyncio.sleep(0)
        held.set()
        await asyncio.gather(holding, *storing, deleting)
        after = commits()
        names = ["first", *map(str, range(50))]
        found = set(await level.get_many(names))
        await level.aclose()
        return after - before, found

    written, found = asyncio.run(main())
    assert written == 2, "one for all values, and one for what was deleted"
    assert found == {str(n) for n in range(50)} - {"7"}


def test_a_value_that_was_stored_before_it_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    async def main() -> dict[str, CacheValue]:
        level = DiskLevel(tmp_path / "l2", 64 * MIB)
        await level.put_many({"other": CacheValue(b"1")})
        await asyncio.gather(level.put_many({"key": CacheValue(b"2")}), level.delete(["key"]))
        found = await level.get_many(["key"])
        await level.aclose()
        return found

    assert asyncio.run(main()) == {}


def test_a_loop_that_ends_with_a_value_on_its_way_spoils_nothing(tmp_path: Path) -> None:
    level = DiskLevel(tmp_path / "l2", 64 * MIB)

    async def leave() -> None:
        storing = asyncio.ensure_future(level.put_many({"early": CacheValue(b"1")}))
        await asyncio.sleep(0)
        storing.cancel()

    async def go_on() -> set[str]:
        await level.put_many({"late": CacheValue(b"2")})
        found = set(await level.get_many(["early", "late"]))
        await level.aclose()
        return found

    asyncio.run(leave())
    assert asyncio.run(go_on()) == {"early", "late"}
