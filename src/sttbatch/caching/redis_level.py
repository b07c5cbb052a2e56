"""L2 in a Redis that several machines share, and that may be emptied, damaged or away at any time.

Redis removes what has expired. Values have checksums as on the disk, and nothing is ever unpickled.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sttbatch.caching.stored_values import MAX_TTL_S, decoded, encoded
from sttbatch.core.addresses import without_password
from sttbatch.core.cache_entries import CacheValue, CheckedEntry, LevelUsage, matches
from sttbatch.core.errors import CacheUnreachable, StateError, UsageError

PREFIX = b"sttbatch:l2:"
"""What all of its keys begin with; nothing else is ever read or removed."""

TIMEOUT_S = 5.0
"""The longest wait for a connection or a reply."""

OLDEST = (6, 2)
"""The first version with SET PXAT."""

_SCANNED_AT_A_TIME = 1000
_VALUES_AT_A_TIME = 16
_ROUND_TRIPS = 5
_PROBE = "probe:doctor"
# What Redis and SQLite's GLOB both take literally.
_LITERAL = re.compile(r"[^*?\[\]\\^]*")


class RedisLevel:
    """A cache in Redis, connected by its first use; what fails raises CacheUnreachable.

    Args:
        url: redis://, rediss:// or unix://, as redis-py reads it; else UsageError is raised.
        clock: seconds since the epoch.
    """

    name = "L2"
    remedy = "`sttbatch doctor` says what is wrong with Redis"

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self.title = f"Redis at {without_password(url)}"
        self._clock = clock
        self._damaged: list[bytes] = []
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
                # Once: a connection that the server has closed meanwhile is opened again.
                retry=Retry(NoBackoff(), 1),
            )
        except (ValueError, TypeError) as error:
            raise UsageError(
                "redis_url is not valid; it must be like "
                "redis://user:password@host:port/number, rediss://… or unix:///path?db=number"
            ) from error

    def start(self) -> None:
        """Do nothing: to connect takes no time."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, CacheValue]:
        stored = await self._reply(self._redis.mget([_name(key) for key in keys])) if keys else []
        values = {key: decoded(key, data) for key, data in zip(keys, stored, strict=True)}
        now = self._clock()
        return {
            key: value
            for key, value in values.items()
            if value is not None and not value.is_expired(now)
        }

    async def put_many(self, values: Mapping[str, CacheValue]) -> None:
        now = self._clock()
        pipeline = self._redis.pipeline(transaction=False)
        for key, value in values.items():
            limited = value.at_most(now + MAX_TTL_S)
            if not limited.is_expired(now):
                assert limited.expires_at is not None
                expires_ms = int(limited.expires_at * 1000)
                pipeline.set(_name(key), encoded(key, limited), pxat=expires_ms)
        # Otherwise an error would quote the value.
        for reply in await self._reply(pipeline.execute(raise_on_error=False)):
            if isinstance(reply, Exception):
                raise CacheUnreachable(f"{self.title}: {reply}") from reply

    async def delete(self, keys: Sequence[str]) -> int:
        """Remove entries; without keys it finds out whether Redis can be reached."""
        if not keys:
            await self._reply(self._redis.ping())
            return 0
        removed = 0
        for at in range(0, len(keys), _SCANNED_AT_A_TIME):
            names = [_name(key) for key in keys[at : at + _SCANNED_AT_A_TIME]]
            removed += await self._reply(self._redis.unlink(*names))
        return removed

    async def delete_matching(self, pattern: str) -> int:
        literal = _LITERAL.match(pattern)
        removed = 0
        async for names in self._names(literal[0].encode() if literal else b""):
            matching = [name for name in names if matches(pattern, _key(name))]
            if matching:
                removed += await self._reply(self._redis.unlink(*matching))
        return removed

    async def delete_expired(self) -> int:
        """Do nothing: Redis does it."""
        return 0

    async def clear(self) -> int:
        removed = 0
        async for names in self._names():
            removed += await self._reply(self._redis.unlink(*names))
        return removed

    async def scrub(self) -> None:
        """Do nothing: what its server writes to a disk is the server's."""

    async def usage(self) -> LevelUsage:
        """Its own entries; while Redis grows or shrinks its table, it may show some twice."""
        entries = size_bytes = 0
        async for names in self._names():
            entries += len(names)
            pipeline = self._redis.pipeline(transaction=False)
            for name in names:
                pipeline.strlen(name)
            # What is no text has no length, but an error.
            lengths = await self._reply(pipeline.execute(raise_on_error=False))
            size_bytes += sum(length for length in lengths if isinstance(length, int))
        return LevelUsage(entries, size_bytes)

    async def check(self) -> AsyncIterator[CheckedEntry]:
        self._damaged = []
        async for names in self._names():
            for at in range(0, len(names), _VALUES_AT_A_TIME):
                some = names[at : at + _VALUES_AT_A_TIME]
                stored = await self._reply(self._redis.mget(some))
                for name, data in zip(some, stored, strict=True):
                    is_sound = decoded(_key(name), data) is not None
                    # A value of another type comes as None, as one does that has just expired.
                    if data is None and not await self._reply(self._redis.exists(name)):
                        continue
                    if not is_sound:
                        self._damaged.append(name)
                    shown = name.removeprefix(PREFIX).decode("utf-8", "backslashreplace")
                    yield CheckedEntry(shown, len(self._damaged) - 1, is_sound)

    async def integrity(self) -> tuple[str, ...]:
        """Nothing: it has no files."""
        return ()

    async def drop(self, rows: Sequence[int]) -> None:
        if rows:
            await self._reply(self._redis.unlink(*(self._damaged[row] for row in rows)))

    async def rebuild(self) -> None:
        """Do nothing: it has no files."""

    async def describe(self) -> str:
        """What `doctor` shows; raises StateError if it does not serve as L2."""
        facts = await self._reply(self._redis.info())
        version = str(facts["redis_version"])
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST:
            raise StateError(f"{self.title} is version {version}; upgrade it to 6.2 or newer")
        await self.put_many({_PROBE: CacheValue(b"")})
        found = await self.get_many([_PROBE])
        if not found or not await self.delete([_PROBE]):
            raise StateError(
                f"{self.title} does not return what was stored; check that it is a Redis server"
            )
        async for _ in self._names(_PROBE.encode()):
            pass
        seconds = []
        for _ in range(_ROUND_TRIPS):
            began = time.perf_counter()
            await self._reply(self._redis.ping())
            seconds.append(time.perf_counter() - began)
        away_ms = statistics.median(seconds) * 1000
        return f"{self.title}, Redis {version}, {away_ms:.1f} ms away; {_memory(facts)}"

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _names(self, literal: bytes = b"") -> AsyncIterator[list[bytes]]:
        """The names of its entries whose keys begin with `literal`, some at a time."""
        cursor = -1
        while cursor != 0:
            cursor, names = await self._reply(
                self._redis.scan(max(cursor, 0), PREFIX + literal + b"*", _SCANNED_AT_A_TIME)
            )
            if names:
                yield names

    async def _reply(self, command: Any) -> Any:
        try:
            return await command
        except Exception as error:
            # A server that is none of Redis's makes redis-py raise nearly any exception.
            reason = str(error) or type(error).__name__
            raise CacheUnreachable(f"{self.title}: {reason}") from error


def _name(key: str) -> bytes:
    return PREFIX + key.encode("utf-8", "surrogatepass")


def _key(name: bytes) -> str:
    # Names by others may not be valid UTF-8.
    return name.removeprefix(PREFIX).decode("utf-8", "replace")


def _memory(facts: Mapping[str, Any]) -> str:
    limit, policy = facts.get("maxmemory"), str(facts.get("maxmemory_policy"))
    bound = f"of at most {facts.get('maxmemory_human')}" if limit else "without a limit"
    text = f"{facts.get('used_memory_human')} used {bound}, maxmemory-policy {policy}"
    if policy == "noeviction":
        return text
    return f"{text}, which removes messages too if this Redis is also a broker: set noeviction"
