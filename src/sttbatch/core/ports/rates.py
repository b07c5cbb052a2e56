"""The port of what a rate limit has given out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class RateState:
    """What a rate limit has given out so far; times are seconds of the clock of its store.

    Attributes:
        next_at: the theoretical arrival time of the next request.
        audio_next_at: the same for audio.
        not_before: the endpoint wants no request before it.
        sends: slots of the last minute and the seconds of audio sent in each, where audio is
            limited.
    """

    next_at: float = 0.0
    audio_next_at: float = 0.0
    not_before: float = 0.0
    sends: list[tuple[float, float]] = field(default_factory=list)


class RateStore(Protocol):
    """One endpoint's `RateState`, which whoever shares the store changes one at a time."""

    async def change(self, change: Callable[[RateState, float], T]) -> T:
        """Apply `change` to the state and the store's time in seconds; it may be called twice."""

    async def aclose(self) -> None: ...
