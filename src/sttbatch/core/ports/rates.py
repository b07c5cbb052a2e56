"""The port of what a rate limit has given out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sttbatch.core.rates import RateState

T = TypeVar("T")


class RateStore(Protocol):
    """One endpoint's `RateState`, which whoever shares the store changes one at a time."""

    async def change(self, change: Callable[[RateState, float], T]) -> T:
        """Apply `change` to the state and the store's time in seconds; it may be called twice."""

    async def aclose(self) -> None: ...
