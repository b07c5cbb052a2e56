"""What a discrete-event simulation is made of: a clock, signals, locks and a processor."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator
from heapq import heappop, heappush
from typing import Any, TypeAlias

Steps: TypeAlias = Generator["float | Signal", None, None]
"""A process: it yields seconds to wait for, or a signal."""

_SAME = 1e-12


class Clock:
    """Runs processes in the order of simulated time, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, call: Callable[..., None], *args: Any) -> None:
        heappush(self._due, (when, next(self._numbers), call, args))

    def spawn(self, steps: Steps) -> None:
        self.at(self.now, self._step, steps)

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        while self._due and self._due[0][0] <= until and not is_over():
            self.now, _, call, args = heappop(self._due)
            call(*args)

    def resume(self, steps: Steps) -> None:
        self.at(self.now, self._step, steps)

    def _step(self, steps: Steps) -> None:
        try:
            wait = next(steps)
        except StopIteration:
            return
        if isinstance(wait, Signal):
            wait.await_by(steps)
        else:
            self.at(self.now + wait, self._step, steps)


class Signal:
    """Fired once; who waits for it goes on then."""

    __slots__ = ("_clock", "_waiting", "is_fired")

    def __init__(self, clock: Clock, *, is_fired: bool = False) -> None:
        self._clock = clock
        self._waiting: list[Steps] = []
        self.is_fired = is_fired

    def fire(self) -> None:
        self.is_fired = True
        for each in self._waiting:
            self._clock.resume(each)
        self._waiting = []

    def await_by(self, steps: Steps) -> None:
        if self.is_fired:
            self._clock.resume(steps)
        else:
            self._waiting.append(steps)


class Lock:
    """Held by at most `places` at a time, first come, first served.

    Attributes:
        waits: (when it was granted, seconds that it was waited for).
    """

    def __init__(self, clock: Clock, places: int = 1) -> None:
        self._clock = clock
        self._places = places
        self._free = places
        self._waiting: deque[tuple[float, Signal]] = deque()
        self._busy_s = 0.0
        self._since = 0.0
        self.waits: list[tuple[float, float]] = []

    @property
    def busy_s(self) -> float:
        """Seconds held until now, all places together."""
        self._account()
        return self._busy_s

    @property
    def in_use(self) -> int:
        return self._places - self._free

    def acquire(self) -> Signal:
        granted = Signal(self._clock)
        self._waiting.append((self._clock.now, granted))
        self._grant()
        return granted

    def release(self) -> None:
        self._account()
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free and self._waiting:
            self._account()
            self._free -= 1
            asked_at, granted = self._waiting.popleft()
            self.waits.append((self._clock.now, self._clock.now - asked_at))
            granted.fire()

    def _account(self) -> None:
        self._busy_s += self.in_use * (self._clock.now - self._since)
        self._since = self._clock.now


class Processor:
    """Cores that all who work share evenly (processor sharing)."""

    def __init__(self, clock: Clock, cores: int) -> None:
        self._clock = clock
        self.cores = cores
        self._jobs: list[tuple[float, int, Signal]] = []
        self._numbers = itertools.count()
        # Seconds of work that each job would have got since the beginning.
        self._virtual_s = 0.0
        self._busy_s = 0.0
        self._since = 0.0
        self._plan = 0

    @property
    def busy_s(self) -> float:
        """Core seconds until now."""
        self._account()
        return self._busy_s

    def work(self, seconds: float) -> Signal:
        done = Signal(self._clock, is_fired=seconds <= 0)
        if not done.is_fired:
            self._account()
            heappush(self._jobs, (self._virtual_s + seconds, next(self._numbers), done))
            self._replan()
        return done

    @property
    def _rate(self) -> float:
        return min(1.0, self.cores / len(self._jobs)) if self._jobs else 0.0

    def _account(self) -> None:
        passed_s = self._clock.now - self._since
        self._virtual_s += passed_s * self._rate
        self._busy_s += passed_s * min(self.cores, len(self._jobs))
        self._since = self._clock.now

    def _replan(self) -> None:
        self._plan += 1
        if self._jobs:
            rest_s = max(0.0, self._jobs[0][0] - self._virtual_s) / self._rate
            self._clock.at(self._clock.now + rest_s, self._end, self._plan)

    def _end(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._account()
        self._virtual_s = max(self._virtual_s, self._jobs[0][0])
        while self._jobs and self._jobs[0][0] <= self._virtual_s + _SAME:
            heappop(self._jobs)[2].fire()
        self._replan()
