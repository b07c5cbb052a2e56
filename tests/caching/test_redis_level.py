"""L2 in Redis: away, emptied, planted, none of ours."""

from __future__ import annotations

import asyncio
import pickle
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from sttbatch.caching.cache_invalidator import CacheInvalidator
from sttbatch.caching.cache_verifier import verified
from sttbatch.caching.multi_level_cache import RETRY_AFTER_S
from sttbatch.caching.redis_level import PREFIX, RedisLevel
from sttbatch.core.cache_entries import CacheValue, checksum
from sttbatch.core.errors import CacheUnreachable, UsageError
from tests.redis_server import PROGRAM, RedisServer, redis_server, redis_url

from .harness import METADATA, harness, key
from .second_levels import SECOND_KINDS, RedisKind
from .stored_values import VALUES, answers, store, stored

DAY_S = 24 * 3600.0
REDIS = SECOND_KINDS["redis"]


class At(RedisKind):
    """L2 at an address of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, folder: Path, clock: object, limit_bytes: int = 0) -> RedisLevel:
        del folder, limit_bytes
        assert callable(clock)
        return RedisLevel(self.url, clock)


@pytest.fixture(autouse=True)
def needs_redis(shared_redis: RedisServer) -> None:
    del shared_redis


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that a test may stop."""
    assert PROGRAM is not None
    with redis_server() as running:
        yield running


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    """Somebody else at the folder's database."""
    with redis.Redis.from_url(redis_url(tmp_path)) as found:
        yield found


def test_redis_may_go_away_and_come_back_empty(own_redis: RedisServer, tmp_path: Path) -> None:
    """No value is lost, one incident is one warning, and after 30 s it is filled again."""

    async def story() -> None:
        async with harness(tmp_path, second=At(own_redis.socket_url)) as state:
            await store(state)
            for incident in (1, 2):
                own_redis.stop()
                for _ in range(3):
                    await state.memory.clear()
                    assert await answers(state) == {"L3"}
                    await state.cache.put(key(99), b"another", *METADATA)
                    assert len(state.warnings) == incident
                    state.clock.now += RETRY_AFTER_S
                own_redis.start()
                await state.memory.clear()
                assert await answers(state) == {"L3"}
                await state.memory.clear()
                assert await answers(state) == {"L2"}
            assert "L2" in state.warnings[0]
            assert state.warnings[0].endswith("`sttbatch doctor` says what is wrong with Redis")

    asyncio.run(story())


def test_a_value_lives_for_a_day_at_most(client: redis.Redis, tmp_path: Path) -> None:
    async def story() -> None:
        now = time.time()
        async with harness(tmp_path, second=REDIS) as state:
            await state.l2.put_many(
                {
                    key(1): CacheValue(b"for ever"),
                    key(2): CacheValue(b"for days", now + 10**6),
                    key(3): CacheValue(b"for an hour", now + 3600),
                    key(4): CacheValue(b"expired", now - 1),
                }
            )
        ends = {n: client.pexpiretime(f"{PREFIX.decode()}{key(n)}") / 1000 for n in (1, 2, 3)}
        for number in (1, 2):
            assert now + DAY_S - 1 <= ends[number] <= time.time() + DAY_S
        assert ends[3] == pytest.approx(now + 3600, abs=0.01)
        assert not client.exists(PREFIX + key(4).encode())

    asyncio.run(story())


def test_only_its_own_keys_are_touched(client: redis.Redis, tmp_path: Path) -> None:
    others = {b"celery": b"a message", b"sttbatch": b"x", b"sttbatch:l3:chunk:1": b"x"}
    client.mset(others)

    async def story() -> None:
        async with harness(tmp_path, second=REDIS) as state:
            await store(state)
            assert all(name.startswith(PREFIX) for name in set(client.scan_iter()) - set(others))
            assert (await state.l2.usage()).entries == len(VALUES)
            assert await state.l2.delete_matching("*") == len(VALUES)
            await state.l2.put_many({key(1): CacheValue(b"")})
            assert await state.l2.clear() == 1

    asyncio.run(story())
    assert {name: client.get(name) for name in client.scan_iter()} == others


def planted(name: str) -> list[bytes]:
    """What is not a value of `name`, though some of it looks like one."""
    body = struct.pack(">d", time.time() + 3600) + b"words"
    return [
        b"",
        b"words",
        pickle.dumps(CacheValue(b"words")),
        bytes(32) + body,
        checksum("chunk:another", body) + body,
        checksum(name, body)[:31],
        checksum(name, b"") + b"",
        checksum(name, body) + body[:-1],
        checksum(name, body) + body + b"\0",
    ]


def test_what_others_have_planted_is_a_miss_and_named(client: redis.Redis, tmp_path: Path) -> None:
    names = [key(100 + n) for n in range(len(planted("")))]
    for number, name in enumerate(names):
        client.set(PREFIX + name.encode(), planted(name)[number])
    foreign = [key(200).encode(), b"\xff\xfe", b"stream"]
    client.rpush(PREFIX + foreign[0], "a list")
    client.set(PREFIX + foreign[1], b"no text")
    client.xadd(PREFIX + foreign[2], {"a": "b"})

    async def story() -> None:
        async with harness(tmp_path, second=REDIS) as state:
            await store(state)
            assert await state.l2.get_many([*names, key(200)]) == {}
            usage = await state.l2.usage()
            assert usage.entries == len(VALUES) + len(names) + len(foreign)
            found = await verified((state.l2,))
            assert {each.key for each in found.damaged} == {
                *names, key(200), "\\xff\\xfe", "stream"
            }  # fmt: skip
            assert found.checked == {"L2": usage.entries}
            assert (await verified((state.l2,), repair=True)).repaired
            after = await verified((state.l2,))
            assert (after.is_sound, after.checked) == (True, {"L2": len(VALUES)})
            assert state.warnings == []

    asyncio.run(story())
    assert client.dbsize() == len(VALUES)


def test_many_entries_are_counted_matched_and_removed(client: redis.Redis, tmp_path: Path) -> None:
    async def story() -> None:
        async with harness(tmp_path, second=REDIS) as state:
            await state.l2.put_many({key(n): CacheValue(b"v%d" % n) for n in range(3000)})
            assert (await state.l2.usage()).entries == client.dbsize() == 3000
            assert len([each async for each in state.l2.check()]) == 3000
            assert await state.l2.delete_matching("chunk:*[05]") == 3000 // 8 + 1
            removed = await state.l2.delete([key(n) for n in range(3000)])
            assert removed + 3000 // 8 + 1 == 3000

    asyncio.run(story())
    assert client.dbsize() == 0


def test_away_it_is_neither_verified_nor_forgotten(own_redis: RedisServer, tmp_path: Path) -> None:
    """Nothing is removed from the ledger that could come back from Redis."""
    second = At(own_redis.socket_url)

    async def story() -> None:
        async with harness(tmp_path, second=second) as state:
            await store(state)
            own_redis.stop()
            found = await verified((state.l2, state.ledger), repair=True)
            assert "No such file" in found.unreachable["L2"]
            assert (found.is_sound, found.repaired, found.checked["L3"]) == (False, False, 12)
            remover = CacheInvalidator(state.cache, state.files, state.fingerprinter)
            for removal in (
                remover.key(key(1)),
                remover.pattern("*"),
                remover.model("whisper"),
                remover.expired(),
                remover.all(),
                remover.file(tmp_path / "talk.mp3"),
            ):
                with pytest.raises(CacheUnreachable, match="Nothing was removed"):
                    await removal
            assert (await state.ledger.usage()).entries == len(VALUES)

    asyncio.run(story())


def test_a_full_redis_stops_nothing(tmp_path: Path) -> None:
    with redis_server("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as full:

        async def story() -> None:
            async with harness(tmp_path, second=At(full.url)) as state:
                await store(state)
                await state.memory.clear()
                assert await answers(state) == {"L3"}
                assert len(state.warnings) == 1
                assert "maxmemory" in state.warnings[0]
                assert "SET" not in state.warnings[0], "a value would be quoted"

        asyncio.run(story())


def test_doctor_is_told_what_redis_is(own_redis: RedisServer) -> None:
    async def described(url: str) -> str:
        level = RedisLevel(url)
        try:
            return await level.describe()
        finally:
            await level.aclose()

    text = asyncio.run(described(own_redis.url))
    assert text.startswith(f"Redis at {own_redis.url}, Redis ")
    assert " ms away" in text
    assert text.endswith("used without a limit, maxmemory-policy noeviction")
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", "100mb")
        assert "of at most 100.00M" in asyncio.run(described(own_redis.url))
        assert "if this Redis is also a broker" in asyncio.run(described(own_redis.url))
        client.acl_setuser(
            "reader", enabled=True, passwords=["+word"], categories=["+@all"], keys=["other:*"]
        )
    named = f"redis://reader:word@127.0.0.1:{own_redis.port}"
    with pytest.raises(CacheUnreachable, match=r"Redis at redis://reader:\*\*\*@.*key") as refused:
        asyncio.run(described(named))
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["redis://:secret@db:port", "redis://db?socket_timeout=secret", "redis://[secret"]
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match="redis_url") as refused:
        RedisLevel(url)
    assert "secret" not in str(refused.value)


def test_a_server_that_is_no_redis_is_left_out(tmp_path: Path) -> None:
    async def story() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-none\r\n" * 3)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, harness(tmp_path, second=At(f"redis://127.0.0.1:{port}")) as state:
            await store(state)
            await state.memory.clear()
            assert await answers(state) == {"L3"}
            assert len(state.warnings) == 1

    asyncio.run(story())


def test_stored_values_are_read_by_the_next_process(tmp_path: Path) -> None:
    stored(tmp_path, REDIS)

    async def story() -> None:
        async with harness(tmp_path, second=REDIS) as state:
            assert await answers(state) == {"L2"}
        assert not (tmp_path / "l2").exists()

    asyncio.run(story())
