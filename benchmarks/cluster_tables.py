"""The tables of the simulated cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.cluster_figures import Figures, RedisFigures, Step, Task
from benchmarks.cluster_ladder import (
    CHANGES,
    CPU,
    LANES,
    LEDGER,
    LIMIT,
    METRICS,
    RATES,
    Result,
)
from benchmarks.cluster_store import Plan
from sttbatch.caching.stored_values import MAX_TTL_S

MB = 1_000_000
BACKLOG = 10_000
"""Waiting recordings, for Redis's memory."""

BUSY_LOAD = 0.5
"""Load of a core from which measured figures are doubtful."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Real workers and their prediction.

    Attributes:
        measured, predicted: the share of what their lanes allow.
        commits, predicted_commits: of the ledger, for each recording.
    """

    workers: int
    measured: float
    predicted: float
    commits: float
    predicted_commits: float
    detail: str


def load_now() -> str:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = ": BUSY, so times and deviations are too high" if load / cores > BUSY_LOAD else ""
    return f"load average {load:.1f} on {cores} cores{busy}"


def print_figures(figures: Figures) -> None:
    print(f"MEASURED with the real code\n{figures.machine}; {figures.load}\n")
    print(f"{'what':32} {'round trips':>11} {'ms':>7} {'CPU ms':>7}  lock  source")
    for name, task in figures.tasks.items():
        _print_task(name, 1.0, task)
    for title, steps in (("before", figures.prepare), ("after", figures.finish)):
        print(f"a recording of one chunk, {title} that:")
        for step in steps:
            _print_task(step.name, step.times, step.task)
    _print_task("the end of a transaction", 1.0, figures.ending)
    print(
        f"before its lock: {figures.before:.1f} round trips; a flush of this disk: "
        f"{1000 * figures.flush_s:.2f} ms; connections of PostgreSQL: {figures.connections}"
    )
    print(_total(figures))
    redis = figures.redis
    if redis is None:
        print("Redis is not installed: nothing is said about it")
        return
    print(
        f"Redis: {redis.idle_commands_s:.1f} commands/s and {redis.connections:.0f} connections of "
        f"an idle worker, {redis.commands_a_recording:.1f} commands\na recording of one chunk, "
        f"{1e6 * redis.cpu_s_a_command:.0f} us of CPU each; {redis.message_bytes:.0f} bytes a "
        f"message; L2: get {1000 * redis.get_s:.2f} ms,\nput {1000 * redis.put_s:.2f} ms, "
        f"{redis.value_bytes:.0f} bytes an answer"
    )


def _print_task(name: str, times: float, task: Task) -> None:
    shown = name if times == 1 else f"{name[:25]} x {times:.2g}"
    print(
        f"{shown:32} {task.statements:>11.1f} {1000 * task.seconds:>7.2f} "
        f"{1000 * task.cpu_s:>7.3f}  {'yes' if task.writes else '-':4}  {task.source}"
    )


def _total(figures: Figures) -> str:
    names = ("job claim", "chunk claim", "chunk completion")
    steps = [Step(name, 1.0, figures.tasks[name]) for name in names]
    writes = [each for each in (*steps, *figures.prepare, *figures.finish) if each.task.writes]
    count = sum(each.times for each in writes)
    held = sum(each.times * (each.task.statements + figures.ending.statements) for each in writes)
    seconds = sum(each.times * (each.task.seconds + figures.ending.seconds) for each in writes)
    return (
        f"so a recording of one chunk: {count:.1f} transactions, the ledger's lock held for "
        f"{held:.0f} round trips + {1000 * seconds:.1f} ms\n(each by itself; what is queued "
        f"together is one transaction)"
    )


def print_results(plan: Plan, results: Sequence[Result], title: str) -> None:
    print(
        f"\nSIMULATED: {title}; limit {plan.per_minute} a minute, {plan.lanes} lanes each, "
        f"{plan.latency_s:.0f} s an answer,\n{1000 * plan.round_trip_s:g} ms to PostgreSQL "
        f"({plan.cores} cores), {1000 * plan.flush_s:.1f} ms a flush; recordings of one chunk"
    )
    print(
        "           answers/s limit slot wait s          ledger lock other locks  commits"
        "    conn.  beat  breaks"
    )
    print(
        "workers     of ideal  used   50%   99%  used    50%  99% ms  rate  metr    a s"
        "  CPU asked     s  first"
    )
    for each in results:
        print(_row(each))
    sys.stdout.flush()


def _row(each: Result) -> str:
    median_ms, most_ms = (1000 * seconds for seconds in each.ledger_wait)
    used = each.used
    return (
        f"{each.plan.workers:>7} {each.throughput:>6.2f} {each.of_ideal:>5.0%} "
        f"{each.limit_share:>5.0%} {each.slot_wait[0]:>5.1f} {each.slot_wait[1]:>5.1f} "
        f"{used[LEDGER]:>5.0%} {median_ms:>6.1f} {most_ms:>7.1f} {used[RATES]:>5.0%} "
        f"{used[METRICS]:>5.0%} {each.commits:>6.0f} {used[CPU]:>4.0%} {each.connections:>5} "
        f"{each.late_beat_s:>5.1f}  {each.breaks}"
    )


def print_redis(results: Sequence[Result], redis: RedisFigures) -> None:
    kept_h = MAX_TTL_S / 3600
    print(f"Redis: {'workers':>8} {'commands/s':>11} {'CPU':>5} {'connections':>12} "
          f"{f'MB for {BACKLOG} waiting':>22} {f'MB of L2 in {kept_h:.0f} h':>17}")  # fmt: skip
    for each in results:
        count = each.plan.workers
        commands = count * redis.idle_commands_s + each.throughput * redis.commands_a_recording
        kept_mb = each.throughput * MAX_TTL_S * redis.value_bytes / MB
        print(
            f"       {count:>8} {commands:>11.0f} {commands * redis.cpu_s_a_command:>5.0%} "
            f"{count * redis.connections:>12.0f} {BACKLOG * redis.message_bytes / MB:>22.1f} "
            f"{kept_mb:>17.0f}"
        )


def print_ladder(first: Result, steps: Iterable[tuple[str, Sequence[tuple[str, Result]]]]) -> None:
    print(f"\n{first.plan.workers} workers, limit {first.plan.per_minute} a minute: "
          f"{first.throughput:.2f} answers/s, {first.of_ideal:.0%} of the ideal")  # fmt: skip
    before = first
    for broken, tried in steps:
        print(f"  breaks first: {broken} ({before.used[broken]:.0%})")
        for name, result in tried:
            times = result.throughput / before.throughput if before.throughput else float("inf")
            print(
                f"    {CHANGES[name]:47} x {times:5.2f} -> {result.throughput:6.2f} answers/s, "
                f"{result.of_ideal:4.0%}; {result.breaks}",
                flush=True,
            )
        before = tried[0][1]
    end = before.breaks
    print(
        f"  then nothing breaks: {end}"
        if end in {LANES, LIMIT}
        else f"  then no change here helps: {end}"
    )


def print_compared(rows: Sequence[Compared]) -> None:
    print(f"\nREAL WORKERS beside their prediction (no network, no flush); {load_now()}")
    print(f"{'':7} {'of what their lanes allow':>31}   {'commits of the ledger a recording':>33}")
    print(f"{'workers':7} {'measured':>9} {'predicted':>10} {'deviation':>10}   {'measured':>11} "
          f"{'predicted':>10} {'deviation':>10}")  # fmt: skip
    for row in rows:
        print(
            f"{row.workers:7} {row.measured:>9.1%} {row.predicted:>10.1%} "
            f"{row.measured / row.predicted - 1:>+10.1%}   {row.commits:>11.1f} "
            f"{row.predicted_commits:>10.1f} {row.commits / row.predicted_commits - 1:>+10.1%}"
        )
    for row in rows:
        print(f"{row.workers} workers: {row.detail}")
    print("predictions leave out the CPU time of workers, endpoint and script, which share these "
          "cores")  # fmt: skip
