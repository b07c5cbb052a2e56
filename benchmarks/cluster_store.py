"""The simulated thread of a store: what is queued for it is one transaction under its lock."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import count

from benchmarks.cluster_figures import Figures, Task
from benchmarks.cluster_kernel import Clock, Lock, Processor, Signal, Steps

POOL = 20
"""PgBouncer's usual default_pool_size."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. Times are in seconds; `changes` are names of `cluster_ladder.CHANGES`.

    Attributes:
        spread: an answer takes that much of `latency_s` more or less, evenly by lot.
    """

    workers: int
    lanes: int = 4
    latency_s: float = 5.0
    spread: float = 0.5
    per_minute: int = 600
    round_trip_s: float = 0.0
    flush_s: float = 0.0
    cores: int = 2
    recordings: int | None = None
    changes: frozenset[str] = frozenset()


@dataclass(slots=True)
class Seen:
    """Simulated times, and (when, seconds) of what takes a while.

    Attributes:
        of_ledger: the commits of the ledger.
    """

    sent: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    slot_waits: list[tuple[float, float]] = field(default_factory=list)
    beats: list[tuple[float, float]] = field(default_factory=list)
    in_lanes: list[tuple[float, float]] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    of_ledger: int = 0
    statements: float = 0.0


class Shared:
    """What the threads of all stores share besides locks."""

    def __init__(self, plan: Plan, figures: Figures, seed: int = 1) -> None:
        self.plan, self.figures, self.seen = plan, figures, Seen()
        self.clock = Clock()
        self.processor = Processor(self.clock, plan.cores)
        self.pool = Lock(self.clock, POOL) if "pgbouncer" in plan.changes else None
        self.lot = random.Random(seed)  # noqa: S311 - the same simulation each time, no secret


class Store:
    """The thread of one worker's `Database`."""

    def __init__(self, shared: Shared, locks: list[Lock], *, durable: bool) -> None:
        self._shared, self._locks = shared, locks
        self._is_durable = durable
        self._queue: list[tuple[Task, float, Signal]] = []
        self._asked = Signal(shared.clock)
        shared.clock.spawn(self._serve())

    def ask(self, task: Task, times: float = 1.0) -> Signal:
        done = Signal(self._shared.clock)
        self._queue.append((task, times, done))
        self._asked.fire()
        return done

    def _serve(self) -> Steps:
        pool = self._shared.pool
        for number in count(self._shared.lot.randrange(len(self._locks))):
            while not self._queue:
                self._asked = Signal(self._shared.clock)
                yield self._asked
            # Of a series of look-ups hardly one is ever in a transaction.
            group = [each for each in self._queue if each[1] == 1.0]
            rest = [each for each in self._queue if each[1] != 1.0] if group else []
            group, self._queue = group or self._queue, rest
            if pool is not None:
                yield pool.acquire()
            if any(task.writes for task, _, _ in group):
                yield from self._transact(group, self._locks[number % len(self._locks)])
            else:
                yield from self._spend(group)
            if pool is not None:
                pool.release()
            for _, _, done in group:
                done.fire()

    def _transact(self, group: list[tuple[Task, float, Signal]], lock: Lock) -> Steps:
        figures, way_s = self._shared.figures, self._shared.plan.round_trip_s / 2
        yield (2 * figures.before - 1) * way_s
        yield lock.acquire()
        yield from self._spend(group, figures.ending)
        yield self._shared.plan.flush_s if self._is_durable else 0.0
        lock.release()
        self._shared.seen.commits.append(self._shared.clock.now)
        self._shared.seen.of_ledger += self._is_durable
        yield way_s

    def _spend(self, group: list[tuple[Task, float, Signal]], ending: Task | None = None) -> Steps:
        spent = [(task, times) for task, times, _ in group]
        spent += [(ending, 1.0)] if ending else []
        statements = sum(task.statements * times for task, times in spent)
        cpu_s = sum(task.cpu_s * times for task, times in spent)
        seconds = sum(task.seconds * times for task, times in spent)
        if ending is not None:
            # A read has a savepoint instead of a look at the connection.
            statements += sum(not task.writes for task, _ in spent)
        self._shared.seen.statements += statements
        plan = self._shared.plan
        trips = 1 if ending is not None and "one trip" in plan.changes else statements
        yield self._shared.processor.work(cpu_s)
        yield max(0.0, seconds - cpu_s) + trips * plan.round_trip_s
