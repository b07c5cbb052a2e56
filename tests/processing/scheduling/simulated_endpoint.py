"""`-j auto` against endpoints that exist in simulated time only."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from sttbatch.processing.scheduling.adaptive_concurrency import AdaptiveConcurrency, RequestOutcome

BACKOFF_S = 0.5


@dataclass
class Endpoint:
    """Answers after base + per_audio x seconds of audio, jittered.

    Attributes:
        refuse_above: in flight; more are answered 429 at once.
        slow_above: in flight when a request comes; it takes twice as long.
        saturates_at: in flight; more share its speed.
    """

    base_s: float = 0.3
    per_audio_s: float = 0.004
    jitter: float = 0.1
    refuse_above: int | None = None
    slow_above: int | None = None
    saturates_at: int | None = None

    def answer(self, audio_s: float, in_flight: int, chance: random.Random) -> tuple[float, bool]:
        """(latency, whether it is a 429); `in_flight` counts this one."""
        if self.refuse_above is not None and in_flight > self.refuse_above:
            return 0.01, False
        latency_s = self.base_s + self.per_audio_s * audio_s
        latency_s *= chance.uniform(1 - self.jitter, 1 + self.jitter)
        if self.slow_above is not None and in_flight > self.slow_above:
            latency_s *= 2
        if self.saturates_at is not None:
            latency_s *= max(1.0, in_flight / self.saturates_at)
        return latency_s, True


@dataclass(order=True)
class _Ending:
    at: float
    number: int
    began: float = field(compare=False)
    audio_s: float = field(compare=False)
    good: bool = field(compare=False)


@dataclass
class Run:
    """What happened: seconds it took, and the limit after each answer."""

    took_s: float = 0.0
    limits: list[int] = field(default_factory=list)
    refused: int = 0


def run(
    endpoint: Endpoint,
    chunks: Sequence[float],
    seed: int,
    *,
    fixed: int = 1,
    adaptive: bool = False,
    maximum: int = 10,
) -> Run:
    """Send `chunks`; after a 429 every lane waits, and its chunk steps back where it must."""
    chance = random.Random(seed)
    auto = AdaptiveConcurrency(maximum)
    auto.expect(len(chunks))
    waiting = list(reversed(chunks))
    under_way: list[_Ending] = []
    now = not_before = 0.0
    number = 0
    done = Run()
    while waiting or under_way:
        limit = auto.limit if adaptive else fixed
        while waiting and len(under_way) < limit and now >= not_before:
            audio_s = waiting.pop()
            latency_s, good = endpoint.answer(audio_s, len(under_way) + 1, chance)
            number += 1
            heapq.heappush(under_way, _Ending(now + latency_s, number, now, audio_s, good))
        next_at = under_way[0].at if under_way else not_before
        if waiting and now < not_before < next_at and len(under_way) < limit:
            now = not_before
            continue
        if not under_way:
            now = not_before
            continue
        ending = heapq.heappop(under_way)
        now = ending.at
        outcome = RequestOutcome.OK if ending.good else RequestOutcome.SLOW_DOWN
        auto.observe(now, now - ending.began, ending.audio_s, outcome, len(under_way) + 1)
        if ending.good:
            done.limits.append(auto.limit)
        else:
            done.refused += 1
            waiting.append(ending.audio_s)
            not_before = max(not_before, now + chance.uniform(0, BACKOFF_S))
    done.took_s = now
    return done
