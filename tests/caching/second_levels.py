"""The kinds of L2 that their suite runs over."""

from __future__ import annotations

import abc
import shutil
from collections.abc import Callable
from pathlib import Path

import redis

from sttbatch.caching.disk_level import DiskLevel
from sttbatch.caching.redis_level import PREFIX, RedisLevel
from sttbatch.core.options import MIB
from tests.redis_server import redis_url

SecondLevel = DiskLevel | RedisLevel


class SecondKind(abc.ABC):
    """How L2 beside the state in a folder is opened, and what can happen to it."""

    removes_expired = True
    """Whether it does, rather than somebody else."""

    @abc.abstractmethod
    def open(
        self, folder: Path, clock: Callable[[], float], limit_bytes: int = 64 * MIB
    ) -> SecondLevel: ...

    @abc.abstractmethod
    def program(self, folder: Path) -> str:
        """Python that opens it as `level`."""

    @abc.abstractmethod
    def lose(self, folder: Path) -> None:
        """Empty it behind the back of whoever has it open."""

    @abc.abstractmethod
    def flip(self, folder: Path, needle: bytes) -> None:
        """Flip a bit inside of a value."""

    @abc.abstractmethod
    def holds(self, folder: Path, needle: bytes) -> bool:
        """Whether `needle` is anywhere in it, names and what is left of the deleted included."""


class DiskKind(SecondKind):
    def open(
        self, folder: Path, clock: Callable[[], float], limit_bytes: int = 64 * MIB
    ) -> DiskLevel:
        return DiskLevel(folder / "l2", limit_bytes, clock)

    def program(self, folder: Path) -> str:
        return f"""
from pathlib import Path
from sttbatch.caching.disk_level import DiskLevel
level = DiskLevel(Path({str(folder / "l2")!r}), 10**8)
"""

    def lose(self, folder: Path) -> None:
        shutil.rmtree(folder / "l2")

    def flip(self, folder: Path, needle: bytes) -> None:
        flip_in(folder / "l2" / "cache.db", needle)

    def holds(self, folder: Path, needle: bytes) -> bool:
        return any(needle in path.read_bytes() for path in (folder / "l2").iterdir())


class RedisKind(SecondKind):
    removes_expired = False

    def open(
        self, folder: Path, clock: Callable[[], float], limit_bytes: int = 64 * MIB
    ) -> RedisLevel:
        del limit_bytes
        return RedisLevel(redis_url(folder), clock)

    def program(self, folder: Path) -> str:
        return f"""
from sttbatch.caching.redis_level import RedisLevel
level = RedisLevel({redis_url(folder)!r})
"""

    def lose(self, folder: Path) -> None:
        with redis.Redis.from_url(redis_url(folder)) as client:
            client.flushdb()

    def flip(self, folder: Path, needle: bytes) -> None:
        with redis.Redis.from_url(redis_url(folder)) as client:
            for name in client.scan_iter(PREFIX + b"*"):
                at = client.get(name).find(needle)
                if at >= 0:
                    middle = at + len(needle) // 2
                    bit = 8 * middle + 5
                    client.setbit(name, bit, 1 - client.getbit(name, bit))
                    return
        raise AssertionError("no value has that")

    def holds(self, folder: Path, needle: bytes) -> bool:
        with redis.Redis.from_url(redis_url(folder)) as client:
            return any(needle in name or needle in client.get(name) for name in client.scan_iter())


def flip_in(file: Path, needle: bytes) -> None:
    whole = bytearray(file.read_bytes())
    at = whole.index(needle)
    whole[at + len(needle) // 2] ^= 4
    file.write_bytes(whole)


SECOND_KINDS: dict[str, SecondKind] = {"disk": DiskKind(), "redis": RedisKind()}
