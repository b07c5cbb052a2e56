"""Another process at the same rate limit.

ask FILE PER_MINUTE N    print when each of N slots comes, by a clock that all processes share
slow FILE SECONDS        tell all to slow down, print `slowed`
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from sttbatch.core.ports import RateStore
from sttbatch.database.rates import SqliteRates
from sttbatch.external.cloudru.admission import RateLimiter
from sttbatch.external.cloudru.rate_limit import RateLimits


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def ask(store: RateStore, per_minute: int, count: int) -> None:
    limits = RateLimits(per_minute)
    for _ in range(count):
        slot = await store.change(lambda state, now: limits.take_slot(state, now, 0.0))
        say(slot)
        await asyncio.sleep(slot - time.monotonic())


async def main(what: str, path: str, *arguments: str) -> None:
    store = SqliteRates(Path(path), "here")
    say("ready")
    sys.stdin.readline()
    if what == "ask":
        await ask(store, int(arguments[0]), int(arguments[1]))
    else:
        await RateLimiter(RateLimits(60), store).slow_down(float(arguments[0]))
        say("slowed")
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
