"""Damage is found, named, never returned, and removed on request."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from sttbatch.caching.cache_verifier import Damaged, Verification
from sttbatch.caching.cache_verifier import verified as verified_levels
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.errors import StateError
from sttbatch.database.store import Session
from tests.database.backends import BACKENDS, Backend

from .harness import METADATA, Harness, harness, key
from .second_levels import SECOND_KINDS, SecondKind, flip_in

TEXTS = {key(n): b'{"text": "%s"}' % (b"word%04d " % n * 60) for n in range(20)}


async def verified(state: Harness, *, repair: bool = False) -> Verification:
    return await verified_levels((state.l2, state.ledger), repair=repair)


def stored(
    folder: Path,
    backend: Backend = BACKENDS["sqlite"],
    second: SecondKind = SECOND_KINDS["disk"],
) -> None:
    async def story() -> None:
        async with harness(folder, backend=backend, second=second) as state:
            for name, data in TEXTS.items():
                await state.cache.put(name, data, *METADATA)

    asyncio.run(story())


@pytest.mark.parametrize("level", ["L2", "L3"])
def test_a_byte_inside_a_value_is_named_and_repaired(
    second: SecondKind, tmp_path: Path, level: str
) -> None:
    stored(tmp_path, second=second)
    if level == "L2":
        second.flip(tmp_path, TEXTS[key(7)])
    else:
        flip_in(tmp_path / "ledger.db", TEXTS[key(7)])

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            assert (await verified(state)).damaged == [Damaged(key(7), level)]
            found = await verified(state, repair=True)
            assert found.damaged == [Damaged(key(7), level)]
            assert found.repaired
            after = await verified(state)
            assert after.is_sound
            assert after.checked[level] == len(TEXTS) - 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 6))]
)
def test_no_flipped_byte_of_the_ledger_becomes_a_wrong_value(tmp_path: Path, part: int) -> None:
    """Inside of a value it is a miss and named; elsewhere it may be an error that says so."""
    stored(tmp_path)
    file = tmp_path / "ledger.db"
    whole = file.read_bytes()
    chance = random.Random(part)
    for _ in range(20):
        flipped = bytearray(whole)
        offset = chance.randrange(len(whole))
        flipped[offset] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        asyncio.run(_only_right_answers(tmp_path))


async def _only_right_answers(folder: Path) -> None:
    try:
        async with harness(folder) as state:
            await state.l2.clear()
            missing = set()
            for name, data in TEXTS.items():
                found = await state.cache.get(name)
                assert found is None or found.value == data
                if found is None:
                    missing.add(name)
            verification = await verified(state)
            assert not missing or not verification.is_sound
    except StateError as error:
        assert str(folder) in str(error)  # noqa: PT017 - either this or a right answer


def test_a_value_under_another_key_is_damage(backend: Backend, tmp_path: Path) -> None:
    stored(tmp_path, backend)
    copy = """UPDATE cache_entries SET (value, sha256) =
              (SELECT value, sha256 FROM cache_entries WHERE key = ?) WHERE key = ?"""

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            await state.database.write(lambda db: db.execute(copy, (key(1), key(2))))
            await state.l2.clear()
            assert await state.cache.get(key(2)) is None
            assert await state.cache.get(key(2)) is None
            assert len(state.warnings) == 1
            assert "verify" in state.warnings[0]
            assert (await verified(state)).damaged == [Damaged(key(2), "L3")]

    asyncio.run(story())


def test_each_damaged_value_is_warned_of_once_until_it_is_stored_anew(
    backend: Backend, tmp_path: Path
) -> None:
    stored(tmp_path, backend)

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            for expected in (2, 4):
                await state.database.write(
                    lambda db: db.execute("UPDATE cache_entries SET sha256 = value")
                )
                for _ in range(2):
                    assert await state.ledger.get_many([key(1), key(2)]) == {}
                assert len(state.warnings) == expected
                for name in (key(1), key(2)):
                    await state.ledger.put(name, CacheValue(b"{}"), *METADATA)

    asyncio.run(story())


def test_a_transaction_judges_a_damaged_value_and_warns_of_nothing(
    backend: Backend, tmp_path: Path
) -> None:
    stored(tmp_path, backend)

    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            await state.database.write(
                lambda db: db.execute("UPDATE cache_entries SET sha256 = value")
            )
            assert not await state.database.write(lambda db: state.ledger.holds(db, key(1)))
            assert state.warnings == []
            assert await state.ledger.get_many([key(1)]) == {}
            assert len(state.warnings) == 1

            def refused(db: Session) -> None:
                state.ledger.insert(db, key(1), CacheValue(b"{}"), *METADATA)
                raise StateError("the disk is full")

            with pytest.raises(StateError):
                await state.database.write(refused)
            assert await state.ledger.get_many([key(1)]) == {}
            assert len(state.warnings) == 1

    asyncio.run(story())


def test_the_memory_of_damage_has_a_bound(tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path) as state:
            keys = [f"chunk:{number}" for number in range(2500)]
            for name in keys:
                assert state.ledger.undamaged(name, b"v", b"another", 0.0, None) is None
            assert len(state.warnings) == len(keys)
            assert len(state.ledger._damaged) <= 1000

    asyncio.run(story())


def test_a_damaged_disk_level_is_begun_anew(tmp_path: Path) -> None:
    stored(tmp_path)
    (tmp_path / "l2" / "cache.db").write_bytes(b"no database" * 999)

    async def story() -> None:
        async with harness(tmp_path) as state:
            assert "L2" in (await verified(state)).problems
            assert (await verified(state, repair=True)).repaired
        async with harness(tmp_path) as state:
            assert await state.level_of(key(1)) == "L3"
            assert state.warnings == []
            assert (await verified(state)).is_sound

    asyncio.run(story())


def test_a_damaged_index_of_the_ledger_is_made_again(tmp_path: Path) -> None:
    stored(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        (root,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'cache_entries_model'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    db.close()
    flip = bytearray((tmp_path / "ledger.db").read_bytes())
    at = flip.index(b"whisper", (root - 1) * size)
    flip[at] ^= 1
    (tmp_path / "ledger.db").write_bytes(flip)

    async def story() -> None:
        async with harness(tmp_path) as state:
            found = await verified(state)
            assert found.problems["L3"]
            assert found.damaged == []
            assert (await verified(state, repair=True)).repaired
            assert (await verified(state)).is_sound

    asyncio.run(story())


def test_nothing_stored_is_sound(backend: Backend, second: SecondKind, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as state:
            assert (await verified(state, repair=True)).is_sound
            assert not (tmp_path / "l2").exists(), "nothing is made just to look at it"

    asyncio.run(story())
