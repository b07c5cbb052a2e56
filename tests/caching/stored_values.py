"""Values that a run has left behind in every level."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from .harness import METADATA, Harness, harness, key
from .second_levels import SECOND_KINDS, SecondKind

VALUES = {key(n): random.Random(n).randbytes(700 + 900 * n) for n in range(12)}


async def store(state: Harness) -> None:
    for name, data in VALUES.items():
        await state.cache.put(name, data, *METADATA)


def stored(folder: Path, second: SecondKind = SECOND_KINDS["disk"]) -> None:
    async def story() -> None:
        async with harness(folder, second=second) as state:
            await store(state)

    asyncio.run(story())


async def answers(state: Harness) -> set[str]:
    """Every value is right; returns who answered."""
    levels = set()
    for name, data in VALUES.items():
        found = await state.cache.get(name)
        assert found is not None
        assert found.value == data
        levels.add(found.level)
    return levels
