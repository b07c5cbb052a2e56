"""Where a simulated cluster breaks first, and the changes of the code that move that point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from statistics import quantiles

from benchmarks.cluster_figures import Figures
from benchmarks.cluster_kernel import Lock
from benchmarks.cluster_model import LEASED_SLOTS, MEASURED_LESS, STRIPES, Cluster
from benchmarks.cluster_store import POOL, Plan
from sttbatch.database.postgresql import STORES
from sttbatch.queue.liveness import Heartbeats

SECONDS, ANSWERS = 80.0, 400
"""A simulation lasts that long, and for so many answers, once it has begun."""

START_S = 400.0
SETTLE_S = 20.0

FULL = 0.9
"""A resource that is used so much breaks; so does a cluster that gives less of its ideal."""

CHANGES = {
    "pgbouncer": f"PgBouncer with {POOL} server connections",
    "holders": "one statement finds every dead holder",
    "notify": "LISTEN/NOTIFY instead of polls",
    "celery": "Celery's messages instead of polls",
    "own row": "heartbeats and load without the ledger's lock",
    "one trip": "each transaction in one round trip",
    "stripes": f"{STRIPES} locks, by recording, instead of one",
    "lease": f"a rate lease of {LEASED_SLOTS} slots",
    "measure less": f"measurements written every {MEASURED_LESS} s",
}
CONNECTIONS, CPU, LEDGER, RATES, METRICS, POOLED, BEATS = (
    "connections", "PostgreSQL's CPU", "ledger lock", "rate lock", "metrics lock",
    "PgBouncer", "heartbeats",
)  # fmt: skip
REMEDIES = {
    CONNECTIONS: ("pgbouncer",),
    CPU: ("holders", "notify", "celery"),
    LEDGER: ("one trip", "stripes", "own row", "holders"),
    RATES: ("lease",),
    METRICS: ("measure less",),
    POOLED: ("holders", "one trip", "stripes", "notify", "celery"),
    BEATS: ("holders", "one trip", "own row", "stripes"),
}
"""Which changes could help against what is used up."""

LANES, LIMIT = "only lanes", "only the limit"


@dataclass(frozen=True, slots=True)
class Result:
    """A simulated cluster between two times; rates are a second, waits (median, 99 %) in seconds.

    Attributes:
        used: what share of each resource is used.
    """

    plan: Plan
    throughput: float
    ideal: float
    limit_share: float
    slot_wait: tuple[float, float]
    ledger_wait: tuple[float, float]
    commits: float
    statements: float
    late_beat_s: float
    connections: int
    used: dict[str, float]

    @property
    def of_ideal(self) -> float:
        return self.throughput / self.ideal

    @property
    def breaks(self) -> str:
        """What is used up first, in the order in which it stops workers."""
        if self.used[CONNECTIONS] > 1:
            return CONNECTIONS
        shares = {name: share for name, share in self.used.items() if name != CONNECTIONS}
        fullest = max(shares, key=lambda name: shares[name])
        if shares[fullest] >= FULL or self.of_ideal < FULL:
            return fullest
        return LIMIT if self.ideal < lanes_allow(self.plan) else LANES


def lanes_allow(plan: Plan) -> float:
    """Requests a second."""
    return plan.workers * plan.lanes / plan.latency_s


def ideal(plan: Plan) -> float:
    """Requests a second that neither lanes nor limit allow more than."""
    return min(lanes_allow(plan), plan.per_minute / 60)


def simulated(plan: Plan, figures: Figures, seconds: float | None = None) -> Result:
    """From when all workers have as many recordings as they hold, or `START_S` have passed."""
    if seconds is None:
        seconds = max(SECONDS, ANSWERS / ideal(plan))
    cluster = Cluster(plan, figures)
    full_s = 0.0
    while cluster.filled < FULL and full_s < START_S:
        full_s += 1.0
        cluster.run(full_s)
    warm_s = full_s + SETTLE_S
    cluster.run(warm_s)
    before = _busy(cluster)
    statements = cluster.seen.statements
    cluster.run(warm_s + seconds)
    busy = {name: (each - before[name]) / seconds for name, each in _busy(cluster).items()}
    seen = cluster.seen
    waits = [each for lock in cluster.ledger for each in _since(lock.waits, warm_s)]
    late_s = _ends(_since(seen.beats, warm_s))[1]
    asked = STORES * plan.workers
    busy[CONNECTIONS] = (POOL if cluster.pool else asked) / figures.connections
    busy[BEATS] = late_s / Heartbeats.lease_s
    sent = sum(at >= warm_s for at in seen.sent) / seconds
    return Result(
        plan=plan,
        throughput=sum(at >= warm_s for at in seen.answered) / seconds,
        ideal=ideal(plan),
        limit_share=sent / (plan.per_minute / 60),
        slot_wait=_ends(_since(seen.slot_waits, warm_s)),
        ledger_wait=_ends(waits),
        commits=sum(at >= warm_s for at in seen.commits) / seconds,
        statements=(seen.statements - statements) / seconds,
        late_beat_s=late_s,
        connections=asked,
        used=busy,
    )


def all_simulated(plans: Sequence[Plan], figures: Figures) -> list[Result]:
    """Each on a core of its own."""
    with ProcessPoolExecutor() as processes:
        return list(processes.map(partial(simulated, figures=figures), plans))


def ladder(first: Result, figures: Figures) -> Iterator[tuple[str, Sequence[tuple[str, Result]]]]:
    """What breaks, and each change that could help with its result, the best one first.

    Then the same with that change, until nothing breaks or nothing is left to try.
    """
    result = first
    while left := [
        each for each in REMEDIES.get(result.breaks, ()) if each not in result.plan.changes
    ]:
        broken = result.breaks
        results = all_simulated([changed(result.plan, each) for each in left], figures)
        tried = sorted(zip(left, results, strict=True), key=lambda each: _merit(each[1], broken))
        yield broken, tried
        result = tried[0][1]


def _merit(result: Result, broken: str) -> tuple[bool, float, float]:
    """The less, the better: what ends the break, then what is a tenth faster, then what is free."""
    return result.breaks in REMEDIES, -round(result.of_ideal, 1), result.used.get(broken, 0.0)


def changed(plan: Plan, change: str) -> Plan:
    return replace(plan, changes=plan.changes | {change})


def _busy(cluster: Cluster) -> dict[str, float]:
    def mean(locks: Sequence[Lock]) -> float:
        return sum(lock.busy_s for lock in locks) / len(locks)

    busy = {
        LEDGER: mean(cluster.ledger),
        RATES: mean(cluster.rates),
        METRICS: mean(cluster.metrics),
        CPU: cluster.processor.busy_s / cluster.processor.cores,
    }
    return busy | ({POOLED: cluster.pool.busy_s / POOL} if cluster.pool else {})


def _since(timed: Sequence[tuple[float, float]], begin: float) -> list[float]:
    return [seconds for at, seconds in timed if at >= begin]


def _ends(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and 99 %."""
    if len(seconds) < 2:
        return (seconds[0], seconds[0]) if seconds else (0.0, 0.0)
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49], cuts[98]
