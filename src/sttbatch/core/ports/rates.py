"""The port of a rate limit's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from msgspec import Struct, field

T = TypeVar("T")


class RateState(Struct):
    """The slots that a rate limit has given out; times are seconds of the store's clock.

    Attributes:
        next_at: the theoretical arrival time of the next request.
        audio_next_at: the same for audio.
        not_before: when the endpoint accepts requests again.
        sends: slots of the last minute and the seconds of audio sent in each, if audio is limited.
    """

    next_at: float = 0.0
    audio_next_at: float = 0.0
    not_before: float = 0.0
    sends: list[tuple[float, float]] = field(default_factory=list)


class RateStore(Protocol):
    """One endpoint's `RateState`, which one process at a time changes."""

    async def change(self, change: Callable[[RateState, float], T]) -> T:
        """Apply `change` to the state and the store's time in seconds; it may be called twice."""

    async def aclose(self) -> None: ...
