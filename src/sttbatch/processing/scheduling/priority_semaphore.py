"""PrioritySemaphore that are few, each handed to whoever comes first in the batch's order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TypeAlias

from sttbatch.core.errors import Stopped

Order: TypeAlias = tuple[int, int]
"""Which recording of the batch, and which of its chunks."""


class PrioritySemaphore:
    """At most `limit` are taken at once; the limit may change while they are.

    Attributes:
        taken: after the limit fell it may be above it until enough were given back.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[Order, int, asyncio.Future[bool]]] = []
        self._came = itertools.count()
        self._closed = False
        self.taken = 0

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._hand_out()

    async def take(self, order: Order) -> bool:
        """Wait for a place, the earliest order first. False: there will be none any more."""
        if self._closed:
            return False
        if self.taken < self._limit:
            self.taken += 1
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (order, next(self._came), place))
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give_back()
            raise

    def give_back(self) -> None:
        self.taken -= 1
        self._hand_out()

    def close(self) -> None:
        """Hand out no more; what is taken stays taken."""
        self._closed = True
        for _, _, place in self._waiting:
            if not place.done():
                place.set_result(False)
        self._waiting.clear()

    def _hand_out(self) -> None:
        while self._waiting and self.taken < self._limit:
            _, _, place = heapq.heappop(self._waiting)
            # Whoever was cancelled while it waited wants none.
            if not place.done():
                self.taken += 1
                place.set_result(True)


class Lane:
    """One chunk's way to a lane, which it holds while its request is in flight."""

    def __init__(self, places: PrioritySemaphore, order: Order) -> None:
        self._places = places
        self._order = order
        self._held = False

    async def enter(self) -> None:
        """Wait for a lane.

        Raises:
            Stopped: the run has ended.
        """
        if not await self._places.take(self._order):
            raise Stopped
        self._held = True

    def leave(self) -> None:
        """Let the next one in, if a lane is held."""
        if self._held:
            self._held = False
            self._places.give_back()

    async def yield_if_over_limit(self) -> None:
        """Where more are in lanes than may be now, wait for another turn, as one of the first.

        Raises:
            Stopped: the run has ended.
        """
        if self._held and self._places.taken > self._places.limit:
            self.leave()
            await self.enter()
