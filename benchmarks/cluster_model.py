"""A cluster of workers over one PostgreSQL ledger, as a discrete-event simulation.

Each worker has the threads of its three stores, which commit in groups what is queued, its lanes,
its poll, heartbeats, and what it tells of its load and measurements. Recordings have one chunk, of
which there is always another unless `recordings` says how many there are. A server's cores are
shared evenly; locks are granted in order. Left out: the workers' own CPU time and uplink, and
faults.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import count

from benchmarks.cluster_figures import Figures, Step, Task
from benchmarks.cluster_kernel import Lock, Signal, Steps
from benchmarks.cluster_store import Plan, Shared, Store
from sttbatch.composition.serving import JOBS_BESIDE_LANES, TELL_S
from sttbatch.core.ports.rates import RateState
from sttbatch.database.postgresql import STORES
from sttbatch.execution.celery_dispatcher import LOOK_S, SWEEP_S
from sttbatch.execution.worker_service import URGENT_JOBS
from sttbatch.external.cloudru.rate_limit import RateLimits
from sttbatch.monitoring.collector import FLUSH_EVERY_S
from sttbatch.queue.dispatch import ROWS_AHEAD, UPKEEP_S
from sttbatch.queue.job_queue import FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_GROWTH
from sttbatch.queue.liveness import Heartbeats

STRIPES = 16
LEASED_SLOTS = 10
MEASURED_LESS = 10
SERIES = 10
"""So many parts are the look-ups of one upkeep simulated in; real ones come one at a time."""


class Cluster(Shared):
    """What the workers of a plan share."""

    def __init__(self, plan: Plan, figures: Figures, seed: int = 1) -> None:
        super().__init__(plan, figures, seed)
        clock = self.clock
        stripes = STRIPES if "stripes" in plan.changes else 1
        self.ledger = [Lock(clock) for _ in range(stripes)]
        self.rates, self.metrics = [Lock(clock)], [Lock(clock)]
        self.state, self.limits = RateState(), RateLimits(plan.per_minute)
        self.left = plan.recordings
        self.numbers = count()
        self.holders = 0
        most = plan.workers if self.pool else figures.connections // STORES
        self.workers = [Worker(self) for _ in range(min(plan.workers, most))]

    def run(self, seconds: float) -> None:
        """Until so many seconds have passed, or all recordings are answered."""
        self.clock.run(seconds, lambda: self.plan.recordings == len(self.seen.answered))

    @property
    def filled(self) -> float:
        """What share of the recordings that workers hold at most they hold."""
        held = sum(worker.jobs for worker in self.workers)
        return held / sum(worker.most for worker in self.workers)

    def take(self) -> bool:
        """Whether there is another recording."""
        if self.left is not None:
            self.left -= 1
        return self.left is None or self.left >= 0

    def slot(self) -> float:
        """The next slot, as the limiter gives it."""
        return self.limits.take_slot(self.state, self.clock.now, 0.0)


class Worker:
    """One worker process; starts within the first second."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self._clock = cluster, cluster.clock
        self._changes = cluster.plan.changes
        self._ledger = Store(cluster, cluster.ledger, durable=True)
        self._rates = Store(cluster, cluster.rates, durable=False)
        self._metrics = Store(cluster, cluster.metrics, durable=False)
        self._lanes = Lock(self._clock, cluster.plan.lanes)
        self._turn = Lock(self._clock)
        self._leased: list[float] = []
        self.jobs = 0
        self.most = cluster.plan.lanes + JOBS_BESIDE_LANES
        self._changed = Signal(self._clock)
        self._told: tuple[int, int] = (0, 0)
        self._events = 0
        for steps in (self._poll(), self._beat(), self._tell(), self._measure()):
            self._clock.spawn(steps)

    @property
    def busy_lanes(self) -> int:
        return self._lanes.in_use

    def _task(self, name: str) -> Task:
        return self._cluster.figures.tasks[name]

    def _poll(self) -> Steps:
        yield self._cluster.lot.random()
        look_after = self._sweep if "celery" in self._changes else self._keep_up
        every_s = SWEEP_S if "celery" in self._changes else UPKEEP_S
        pause_s, looked_at = FIRST_PAUSE_S, -every_s
        while True:
            while self.jobs < self.most + URGENT_JOBS:
                if self._clock.now - looked_at > every_s:
                    looked_at = self._clock.now
                    yield from look_after()
                if "celery" not in self._changes or self.jobs >= self.most:
                    yield self._ledger.ask(self._task("busy poll"))
                if self.jobs < self.most and not self._leaves() and self._cluster.take():
                    yield from self._claim()
                    pause_s = FIRST_PAUSE_S
                    continue
                if self.jobs < self._cluster.plan.lanes and "celery" not in self._changes:
                    looked_at = self._clock.now
                    yield from self._keep_up()
                break
            pause_s = yield from self._pause(pause_s)

    def _leaves(self) -> bool:
        """Whether the last recordings are for lanes of others that are free, as dispatchers do."""
        left, plan = self._cluster.left, self._cluster.plan
        others = (len(self._cluster.workers) - 1) * plan.lanes
        is_ahead = self.jobs >= plan.lanes and "celery" not in self._changes
        return is_ahead and left is not None and left < ROWS_AHEAD and left <= others

    def _pause(self, pause_s: float) -> Generator[float | Signal, None, float]:
        """Until a job has ended or the pause is over; the next pause."""
        if "celery" in self._changes:
            pause_s = LOOK_S
        elif "notify" in self._changes:
            pause_s = UPKEEP_S
        until = self._clock.now + pause_s
        self._changed = Signal(self._clock)
        if self.jobs < self.most + URGENT_JOBS:
            self._clock.at(until, self._changed.fire)
        yield self._changed
        is_over = self._clock.now >= until
        return min(LONGEST_PAUSE_S, pause_s * PAUSE_GROWTH) if is_over else pause_s

    def _claim(self) -> Steps:
        if "celery" in self._changes:
            # It looks for the job itself, and for what follows it.
            yield self._ledger.ask(self._task("busy poll"))
        yield self._ledger.ask(self._task("job claim"))
        self._cluster.holders += not self.jobs
        self.jobs += 1
        self._clock.spawn(self._process())

    def _keep_up(self) -> Steps:
        yield self._ledger.ask(self._task("upkeep"))
        others = 1 if "holders" in self._changes else max(0, self._cluster.holders - 1)
        parts = min(others, SERIES)
        for _ in range(parts):
            yield self._ledger.ask(self._task("upkeep, each holder"), others / parts)

    def _sweep(self) -> Steps:
        yield from self._keep_up()
        yield self._ledger.ask(self._task("ring"))

    def _process(self) -> Steps:
        """One recording of one chunk."""
        seen, number = self._cluster.seen, next(self._cluster.numbers)
        yield from self._steps(self._cluster.figures.prepare, number)
        yield self._ledger.ask(self._task("chunk claim"))
        yield self._lanes.acquire()
        began_at = self._clock.now
        yield self._turn.acquire()
        yield from self._slot()
        self._turn.release()
        seen.slot_waits.append((self._clock.now, self._clock.now - began_at))
        seen.sent.append(self._clock.now)
        plan = self._cluster.plan
        yield plan.latency_s * (1 + plan.spread * self._cluster.lot.uniform(-1, 1))
        seen.answered.append(self._clock.now)
        yield self._ledger.ask(self._task("chunk completion"))
        self._lanes.release()
        seen.in_lanes.append((self._clock.now, self._clock.now - began_at))
        self._events += 1
        yield from self._steps(self._cluster.figures.finish, number)
        self.jobs -= 1
        self._cluster.holders -= not self.jobs
        self._changed.fire()

    def _slot(self) -> Steps:
        """Return when a slot has come; one that was waited for is looked at once more."""
        if not self._leased:
            yield self._rates.ask(self._task("rate slot"))
            leased = LEASED_SLOTS if "lease" in self._changes else 1
            self._leased = [self._cluster.slot() for _ in range(leased)]
        wait_s = self._leased.pop(0) - self._clock.now
        if wait_s > 0:
            yield wait_s
            if not self._leased:
                yield self._rates.ask(self._task("rate slot"))

    def _steps(self, steps: list[Step], number: int) -> Steps:
        for step in steps:
            # Over all recordings `times` on average.
            for _ in range(int((number + 1) * step.times) - int(number * step.times)):
                yield self._ledger.ask(step.task)

    def _beat(self) -> Steps:
        yield Heartbeats.heartbeat_s * self._cluster.lot.random()
        while True:
            due_at = self._clock.now
            yield self._ledger.ask(self._alone("heartbeat"))
            self._cluster.seen.beats.append((self._clock.now, self._clock.now - due_at))
            yield Heartbeats.heartbeat_s

    def _tell(self) -> Steps:
        yield TELL_S * self._cluster.lot.random()
        while True:
            load = (self.busy_lanes, self.jobs)
            if load != self._told:
                yield self._ledger.ask(self._alone("load"))
                self._told = load
            yield TELL_S

    def _alone(self, name: str) -> Task:
        """What a worker writes of itself, which needs nobody's lock."""
        task = self._task(name)
        if "own row" not in self._changes:
            return task
        return Task(task.statements, task.seconds, task.cpu_s, False, task.source)

    def _measure(self) -> Steps:
        less = MEASURED_LESS if "measure less" in self._changes else 1
        yield less * FLUSH_EVERY_S * self._cluster.lot.random()
        while True:
            if self._events:
                self._events = 0
                yield self._metrics.ask(self._task("measurements"))
            yield less * FLUSH_EVERY_S
