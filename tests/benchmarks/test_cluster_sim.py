"""The simulated cluster against closed forms; the times in it are simulated."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.cluster_figures import Figures, RedisFigures, Step, Task, read_figures
from benchmarks.cluster_kernel import Clock, Lock, Processor, Steps
from benchmarks.cluster_ladder import (
    CHANGES,
    CONNECTIONS,
    LANES,
    LEDGER,
    LIMIT,
    REMEDIES,
    changed,
    simulated,
)
from benchmarks.cluster_model import Cluster
from benchmarks.cluster_store import Plan
from sttbatch.database.postgresql import STORES
from sttbatch.external.cloudru.rate_limit import RateLimits

NAMES = (
    "heartbeat", "load", "ring", "job claim", "busy poll", "chunk claim", "chunk completion",
    "rate slot", "upkeep", "upkeep, each holder", "measurements",
)  # fmt: skip
WRITES = {"heartbeat", "load", "job claim", "chunk claim", "chunk completion", "rate slot"}


def task(seconds: float = 0.0, statements: float = 0.0, *, writes: bool = True) -> Task:
    return Task(statements, seconds, 0.0, writes, "made up")


def figures(prepare: float = 0.0, each: float = 0.0) -> Figures:
    """Nothing takes time but what is given, in seconds: one write before each chunk, and all
    others."""
    return Figures(
        machine="none",
        load="none",
        tasks={
            name: task(each if name in WRITES else 0.0, writes=name in WRITES) for name in NAMES
        },
        prepare=[Step("prepared", 1.0, task(prepare))],
        finish=[],
        ending=task(),
        before=2.0,
        flush_s=0.0,
        connections=97,
        redis=RedisFigures(2.0, 20.0, 10.0, 1500.0, 16_000.0, 1e-4, 1e-4, 2e-4),
    )


PLAN = Plan(1, lanes=4, latency_s=5.0, spread=0.0, per_minute=60_000)
LONG_S = 400.0
SHORT_S = 60.0


def test_a_lock_that_is_asked_for_by_lot_is_waited_for_as_in_an_m_d_1_queue() -> None:
    clock, lot = Clock(), random.Random(7)
    lock, held_s, load = Lock(clock), 1.0, 0.7

    def one() -> Steps:
        yield lock.acquire()
        yield held_s
        lock.release()

    def arrivals() -> Steps:
        while True:
            yield lot.expovariate(load / held_s)
            clock.spawn(one())

    clock.spawn(arrivals())
    clock.run(30_000)
    waits = [seconds for _, seconds in lock.waits]
    assert lock.busy_s / clock.now == pytest.approx(load, rel=0.02)
    assert sum(waits) / len(waits) == pytest.approx(load * held_s / (2 * (1 - load)), rel=0.06)


def test_cores_are_shared_evenly() -> None:
    clock = Clock()
    processor = Processor(clock, 2)
    ended: list[tuple[str, float]] = []

    def work(name: str, seconds: float) -> Steps:
        yield processor.work(seconds)
        ended.append((name, clock.now))

    for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 3.0)):
        clock.spawn(work(name, seconds))
    clock.run(100)
    # Half a core each until a ends at 2, then two thirds until b and c do, then one.
    assert [name for name, _ in ended] == ["a", "b", "c", "d"]
    assert [at for _, at in ended] == pytest.approx([2.0, 3.5, 3.5, 4.5])
    assert processor.busy_s == pytest.approx(8.0)


def test_one_worker_does_what_can_be_computed_by_hand() -> None:
    cluster = Cluster(replace(PLAN, recordings=12), figures())
    cluster.run(100)
    seen = cluster.seen
    # Three answers of each of four lanes, and nothing between them.
    assert seen.answered[-1] - seen.sent[0] == pytest.approx(15.0)
    assert seen.of_ledger >= 3 * 12 / 7


def test_workers_leave_the_last_recordings_to_lanes_that_are_free() -> None:
    cluster = Cluster(replace(PLAN, workers=4, recordings=64), figures(each=0.001))
    cluster.run(100)
    # Four answers of each lane; a fifth would take 25 s.
    assert cluster.seen.answered[-1] - cluster.seen.sent[0] < 21


def test_time_in_the_lane_is_what_little_says() -> None:
    cluster = Cluster(replace(PLAN, spread=0.5, workers=3), figures(each=0.005))
    cluster.run(50)
    begun = len(cluster.seen.in_lanes)
    busy_s, level_s, at = 0.0, 0.05, cluster.clock.now
    while at < 350:
        at += level_s
        cluster.run(at)
        busy_s += level_s * sum(worker.busy_lanes for worker in cluster.workers)
    times = [seconds for _, seconds in cluster.seen.in_lanes[begun:]]
    assert busy_s / 300 == pytest.approx(len(times) / 300 * sum(times) / len(times), rel=0.02)


def test_a_lock_held_twice_as_long_is_used_twice_as_much() -> None:
    once = simulated(PLAN, figures(prepare=0.02), LONG_S)
    twice = simulated(PLAN, figures(prepare=0.04), LONG_S)
    assert once.throughput == pytest.approx(0.8, rel=0.05)
    assert once.used[LEDGER] == pytest.approx(once.throughput * 0.02, rel=0.03)
    assert twice.used[LEDGER] == pytest.approx(2 * once.used[LEDGER], rel=0.03)


def test_a_round_trip_prolongs_the_lock_by_each_statement() -> None:
    asked = figures()
    trips = msgspec.structs.replace(asked, prepare=[Step("prepared", 1.0, task(statements=10))])
    near = simulated(replace(PLAN, round_trip_s=0.001), trips, LONG_S)
    assert near.used[LEDGER] == pytest.approx(near.throughput * 0.01, rel=0.15)
    at_once = simulated(changed(near.plan, "one trip"), trips, LONG_S)
    assert at_once.used[LEDGER] < near.used[LEDGER] / 2


@pytest.mark.parametrize("workers", [1, 8, pytest.param(30, marks=pytest.mark.slow)])
def test_the_limit_is_never_exceeded_and_nearly_used(workers: int) -> None:
    plan = replace(PLAN, workers=workers, per_minute=240, latency_s=0.5)
    cluster = Cluster(plan, figures(each=0.001))
    cluster.run(200)
    sent = cluster.seen.sent
    assert max(sum(at <= other < at + 60 for other in sent) for at in sent[::20]) <= 240
    result = simulated(plan, figures(each=0.001), SHORT_S)
    assert result.limit_share >= 60 / (RateLimits(240).spacing_s * 240) * 0.97
    assert result.breaks == LIMIT


@pytest.mark.slow
def test_a_lock_that_is_always_held_breaks_first_and_bounds_all() -> None:
    plan = replace(PLAN, workers=20)
    result = simulated(plan, figures(prepare=0.2), SHORT_S)
    assert result.breaks == LEDGER
    assert result.throughput == pytest.approx(1 / 0.2, rel=0.05)
    striped = simulated(changed(plan, "stripes"), figures(prepare=0.2), SHORT_S)
    assert striped.throughput > 2 * result.throughput
    assert striped.breaks == LANES


@pytest.mark.slow
def test_workers_without_connections_do_nothing_until_a_pool_is_between() -> None:
    plan = replace(PLAN, workers=40)
    result = simulated(plan, figures(), SHORT_S)
    assert result.breaks == CONNECTIONS
    assert result.throughput == pytest.approx((97 // STORES) * 4 / 5, rel=0.05)
    pooled = simulated(changed(plan, "pgbouncer"), figures(), SHORT_S)
    assert pooled.of_ideal == pytest.approx(1, rel=0.05)


def test_the_same_simulation_comes_twice() -> None:
    plan = replace(PLAN, workers=5, spread=0.5)
    kept = figures(0.01, 0.002)
    assert simulated(plan, kept, SHORT_S) == simulated(plan, kept, SHORT_S)


def test_every_remedy_is_a_change() -> None:
    assert {each for some in REMEDIES.values() for each in some} == set(CHANGES)


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    kept = figures(0.01, 0.002)
    kept.write(path)
    assert read_figures(path) == kept
