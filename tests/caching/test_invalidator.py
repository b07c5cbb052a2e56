"""What is removed is gone from every level, and a forgotten recording from every byte of state."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sttbatch.caching.cache_invalidator import CacheInvalidator, Invalidated
from sttbatch.caching.result_cache import ResultCache, StoredChunk
from sttbatch.core.cache_entries import CacheValue
from sttbatch.core.engine import APIRequest
from sttbatch.core.models import ChunkSpan, CutPoint, Transcript, Transcription
from sttbatch.core.options import RequestOptions
from sttbatch.core.work import IndexedSpan
from sttbatch.database.chunk_index import SqlChunkIndex
from sttbatch.database.store import Session
from tests.database.backends import Backend

from .harness import METADATA, SHA, Harness, harness, key, recorded
from .second_levels import SecondKind

Removal = Callable[[CacheInvalidator], Awaitable[Invalidated]]


def invalidator(state: Harness) -> CacheInvalidator:
    return CacheInvalidator(state.cache, state.files, state.fingerprinter)


@pytest.mark.parametrize(
    ("removal", "gone"),
    [
        (lambda each: each.key(key(1)), {1}),
        (lambda each: each.pattern(f"chunk:*{3:x}"), {3}),
        (lambda each: each.pattern("CHUNK:*"), set()),
        (lambda each: each.pattern("chunk:*[2-4]"), {2, 3, 4}),
        (lambda each: each.model("another"), {4, 5}),
        (lambda each: each.expired(), {5}),
        (lambda each: each.all(), {0, 1, 2, 3, 4, 5}),
    ],
)
def test_it_is_gone_from_every_level(
    backend: Backend, second: SecondKind, tmp_path: Path, removal: Removal, gone: set[int]
) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as state:
            for number in range(6):
                model = "another" if number > 3 else "whisper"
                expires_at = state.clock() + 100 if number == 5 else None
                await state.ledger.put(key(number), CacheValue(b"value", expires_at), model, SHA)
            await state.cache.warm([key(number) for number in range(6)])
            # diskcache reckons from the time at which it stores.
            state.clock.now += 200
            removed = await removal(invalidator(state))
            assert state.warnings == []
            # By Redis's clock nothing has expired yet.
            kept = {5} if gone == {5} and not second.removes_expired else set()
            for level in state.cache.levels:
                count = len(gone - kept if level is state.l2 else gone)
                assert removed.entries[level.name] == count
                assert (await level.usage()).entries == 6 - count
            for number in {0, 1, 2, 3, 4} - gone:
                assert await state.level_of(key(number)) == "L1"

    asyncio.run(story())


def test_a_broken_disk_level_is_emptied_as_a_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path) as state:
            await state.cache.put(key(1), b"unmistakable", *METADATA)
        damaged = bytearray((tmp_path / "l2" / "cache.db").read_bytes())
        damaged[:100] = bytes(100)
        (tmp_path / "l2" / "cache.db").write_bytes(damaged)
        async with harness(tmp_path) as state:
            await invalidator(state).key(key(1))
        assert held(tmp_path, b"unmistakable") == []

    asyncio.run(story())


REQUEST = RequestOptions("cloudru", "https://example.org", "whisper")
POST = APIRequest(
    at=1.0, attempt=1, status=200, latency_s=1.0, sent_bytes=10, audio_s=5.0, paid=True
)


def held(folder: Path, needle: bytes) -> list[str]:
    """State files that hold `needle` anywhere, free pages and journals included."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "talks"]
    return [path.name for path in files if needle in path.read_bytes()]


async def store_recording(state: Harness, path: Path, words: list[str], *, pieces: bool) -> str:
    """As a run leaves it: cuts, chunks, a failed post, a transcript, outputs, a job."""
    print_ = await state.fingerprinter.fingerprint(path)
    sha = print_.sha256
    spans = SqlChunkIndex(state.database, state.ledger)
    results = ResultCache(state.cache, REQUEST)
    for number, word in enumerate(words):
        name = "chunk:" + hashlib.sha256(f"{sha}{number}".encode()).hexdigest()
        value = StoredChunk(Transcription(f"{word} " * 60, ()), "copy", "json")
        span = ChunkSpan(
            0, CutPoint(number), CutPoint(number + 1), number, number + 1.0, ((0.0, 0.0),)
        )
        if not pieces:
            await spans.remember(IndexedSpan(sha, 0, "r", span, name))
        failed = replace(POST, status=500, error=f"no {word}", paid=False)
        await state.work.record(recorded(name, failed, sha256=sha))
        await state.store(recorded(name, POST, value, sha256=sha))
        await state.cache.fill_fronts(name, msgspec.json.encode(value))
        await results.store(name + "j", value, sha)
    transcript = Transcript(5.0, "en", (), ())
    await results.store_transcript("transcript:" + sha, transcript, sha)
    await state.database.write(lambda db: _rest(db, path, sha))
    return sha


def _rest(db: Session, path: Path, sha: str) -> None:
    db.execute(
        "INSERT INTO outputs (path, source, format, sha256) VALUES (?, ?, 'txt', 'x')",
        (os.fsencode(path.with_suffix(".txt")), os.fsencode(path)),
    )
    db.execute(
        """INSERT INTO processing_jobs
               (id, file_sha256, stream, request_sha256, payload, created_at, status, worker_id)
           VALUES (?, ?, 0, 'r', ?, 1.0, 'PROCESSING', 'w')""",
        (sha[:8], sha, f'{{"path": "{path}"}}'),
    )
    (task,) = db.execute(
        """INSERT INTO processing_tasks (job_id, claim_number, worker_id, started_at)
           VALUES (?, 1, 'w', 1.0) RETURNING id""",
        (sha[:8],),
    ).fetchone()
    db.execute(
        """INSERT INTO chunk_tasks (chunk_key, task_id, worker_id, engine, model, chunk_index,
                                    status, started_at)
           VALUES (?, ?, 'w', 'cloudru', 'whisper', 0, 'FAILED', 1.0)""",
        (f"chunk:of-{sha}", task),
    )


@pytest.mark.parametrize("pieces", [False, True], ids=["chunks", "pieces"])
@pytest.mark.parametrize(
    "how",
    [
        "gone",
        *(
            pytest.param(how, marks=pytest.mark.slow)
            for how in ("there", "changed", "copied", "by another name")
        ),
    ],
)
def test_a_forgotten_recording_leaves_no_byte(
    second: SecondKind, tmp_path: Path, how: str, *, pieces: bool
) -> None:
    talks = tmp_path / "talks"
    talks.mkdir()
    secret, other = talks / "interview.mp3", talks / "other.mp3"
    secret.write_bytes(b"sound of the secret")
    other.write_bytes(b"sound of the other")
    secrets = [f"hidden{n:04d}" for n in range(40)]
    others = [f"public{n:04d}" for n in range(40)]

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            mixed = random.Random(0).sample(range(40), 40)
            sha = await store_recording(state, secret, secrets, pieces=pieces)
            await store_recording(state, other, others, pieces=pieces)
            # What is stored again moves its row and leaves the old bytes behind.
            for n in mixed:
                await state.cache.put(key(n), f"{secrets[n]} ".encode() * 900, "whisper", sha)
                await state.cache.put(key(n), f"{secrets[n]} ".encode() * 90, "whisper", sha)
            named = secret
            if how == "gone":
                secret.unlink()
            elif how == "changed":
                secret.write_bytes(b"another sound")
            elif how == "copied":
                named = talks / "copy.mp3"
                secret.rename(named)
            elif how == "by another name":
                named = talks / "more" / ".." / "interview.mp3"
                (talks / "more").mkdir()
            found = await invalidator(state).file(named)
            assert found.entries["L3"] == 40 * 3 + 1
            assert found.entries["L2"] == 40 * 3 + 1
            assert found.running_jobs == 1
            assert found.rows["cuts"] == (0 if pieces else 40)
            assert {found.rows[table] for table in ("outputs", "processing_jobs")} == {1}
            assert found.rows["chunk_tasks"] == 1
            posts, paid = await state.database.read(
                lambda db: db.execute("SELECT COUNT(*), SUM(cost) FROM requests").fetchone()
            )
            assert (posts, round(paid, 6)) == (160, 4.0), "money is counted as before"
            left = await state.ledger.usage()
            assert left.entries == 40 * 2 + 1
        for needle in (b"hidden", b"interview", sha.encode()):
            assert held(tmp_path, needle) == [], needle
            assert not second.holds(tmp_path, needle), needle
        assert "ledger.db" in held(tmp_path, b"public")
        assert second.holds(tmp_path, b"public")

    asyncio.run(story())


def test_what_nobody_knows_removes_nothing(
    backend: Backend, second: SecondKind, tmp_path: Path
) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as state:
            await state.cache.put(key(1), b"value", *METADATA)
            found = await invalidator(state).file(tmp_path / "never-seen.mp3")
            assert sum(found.entries.values()) == found.recordings == 0

    asyncio.run(story())


def test_warming_loads_a_recordings_entries_and_the_most_used(
    backend: Backend, second: SecondKind, tmp_path: Path
) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend, second=second) as state:
            for number in range(100):
                sha = SHA if number < 10 else "other"
                await state.cache.put(key(number), b"value", "whisper", sha)
            for number in range(90, 100):
                await state.cache.get(key(number))
            await state.cache.flush()
            for level in (state.memory, state.l2):
                await level.clear()
            assert (await state.cache.warm(await state.ledger.keys_of([SHA])))[0] == 10
            most_used = [key for key, _ in await state.ledger.most_used(5)]
            assert (await state.cache.warm(most_used))[0] == 5
            assert len(await state.l2.get_many([key(n) for n in range(100)])) == 15
            assert await state.level_of(key(0)) == "L1"
            assert await state.level_of(key(50)) == "L3"
            keys = await state.ledger.keys_of([SHA, "other"])
            assert (await state.cache.warm(keys, limit_bytes=1))[0] < len(keys) == 100

    asyncio.run(story())


def test_the_index_of_files_finds_what_it_remembers(backend: Backend, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, backend=backend) as state:
            assert await state.fingerprinter.remembered(tmp_path / "talk") is None
            (tmp_path / "talk").write_bytes(b"sound")
            known = (await state.fingerprinter.fingerprint(tmp_path / "talk")).sha256
            (tmp_path / "talk").unlink()
        async with harness(tmp_path, backend=backend) as state:
            assert await state.fingerprinter.remembered(tmp_path / "talk") == known

    asyncio.run(story())
