"""Sizes and ages of stored entries, and the result of the last verification."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from sttbatch.core.cache_entries import CacheLevel, LevelUsage
from sttbatch.core.errors import StateError
from sttbatch.core.ports import ResultStore
from sttbatch.database.private_files import private_file, private_folder

MOST_USED = 5
_FILE = "verified.json"


class LastVerification(Struct, frozen=True):
    """When values were last verified, and how many damaged ones were not removed."""

    at: float
    damaged: int


class CacheStats(Struct, frozen=True):
    """What `sttbatch cache stats` shows.

    Attributes:
        levels: by name; a level that cannot be read is None.
        most_used: (key, reads).
        verified: None: never, or its record is lost.
    """

    levels: dict[str, LevelUsage | None]
    most_used: tuple[tuple[str, int], ...]
    verified: LastVerification | None


async def cache_stats(
    levels: Sequence[CacheLevel], authority: ResultStore, folder: Path
) -> CacheStats:
    """Read every level; `folder` is that of `record_verification`.

    Raises StateError if the authority cannot be read.
    """
    usages: dict[str, LevelUsage | None] = {}
    for level in levels:
        try:
            usages[level.name] = await level.usage()
        except StateError:
            if level is authority:
                raise
            usages[level.name] = None
    return CacheStats(usages, await authority.most_used(MOST_USED), _last(folder))


def record_verification(folder: Path, damaged: int) -> None:
    """Record the result of a verification for `cache_stats`; failures are ignored."""
    record = msgspec.json.encode(LastVerification(time.time(), damaged))
    with contextlib.suppress(OSError, StateError):
        temporary = private_file(private_folder(folder) / f"{_FILE}.{os.getpid()}")
        temporary.write_bytes(record)
        temporary.replace(folder / _FILE)


def _last(folder: Path) -> LastVerification | None:
    try:
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=LastVerification)
    except (OSError, msgspec.DecodeError):
        return None
