"""What metrics cost: the collector's share of a run's CPU time, over many requests at no latency.

    python benchmarks/metrics_cost.py [--requests 2000] [--runs 2]

Replays the events of a run of that many requests into a collector with a real metrics.db, and
compares the CPU seconds of that (its writer's thread included) with those of such a run: recordings
of one second each, transcribed against a stand-in endpoint that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import machine, measure
from benchmarks.recordings import one_second_tones
from benchmarks.runs import command, fresh_state
from benchmarks.stand_in import stand_in
from sttbatch.core import events
from sttbatch.core.metrics import RunEnd, RunFacts
from sttbatch.database.measurements import Measurements
from sttbatch.database.opening import open_metrics
from sttbatch.monitoring import collector as collector_module
from sttbatch.monitoring.collector import MetricsCollector

BOUND = 0.02
BATCH = 50
"""Requests told of between two writes, which is what a fast run brings in a second."""


def events_of(number: int) -> list[events.Event]:
    """What one recording of one chunk has to say."""
    name = f"talks/{number:06}.wav"
    key = f"chunk:{number:064}"
    return [
        events.CacheLookup(name, key, None),
        events.JobQueued(name, 1.0),
        events.JobStarted(name, f"job-{number}"),
        events.ChunkPrepared(name, 0, 1.0, 0.01),
        events.CacheLookup(name, key, None),
        events.ChunkProcessingStarted(name, 0, 1.0, 0.002),
        events.APIRequestCompleted(name, 0, 200, 0.01, 9_000, 1, False, None, "r", 0.0, 1.0),
        events.ChunkProcessingCompleted(name, 0, 1.0, False),
        events.FileProcessingCompleted(name, (f"{name}.txt",)),
        events.JobCompleted(name, 1.0, False),
    ]


async def collect(path: Path, count: int) -> float:
    """CPU seconds of all that the collector does."""
    told = [events_of(number) for number in range(count)]
    facts = RunFacts(time.time(), "cloudru", "m", 10, 6000, 0.01)
    begun_s = time.process_time()
    with contextlib.closing(open_metrics(path.parent)) as database:
        collector = MetricsCollector(Measurements(database), facts, print)
        for number, of_one in enumerate(told):
            for event in of_one:
                collector(event)
            if number % BATCH == 0:
                await asyncio.sleep(0.001)
        await collector.aclose(RunEnd(count, 0, 0, 0))
    return time.process_time() - begun_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    collector_module.FLUSH_EVERY_S = 0.0
    with tempfile.TemporaryDirectory(prefix="metrics-cost-") as name, stand_in() as endpoint:
        base = Path(name)
        one_second_tones(base / "talks", options.requests)
        runs_s = []
        for _ in range(options.runs):
            state = fresh_state(base)
            run = command(base / "talks", state, "-j", "10", "--rate-limit", "100000")
            cost, _out = measure(
                run, state.folder, environment=state.environment(endpoint), sample_every_s=1.0
            )
            runs_s.append(cost.cpu_s)
            sent = len(endpoint.traffic().requests)
        # The first one makes the tables, as a user's first run does.
        asyncio.run(collect(base / "metrics.db", 1))
        path = base / "metrics.db"
        ours_s = [asyncio.run(collect(path, options.requests)) for _ in range(options.runs + 2)]
    run_s, own_s = statistics.median(runs_s), statistics.median(ours_s)
    verdict = "met" if own_s <= BOUND * run_s else "not met"
    print(f"\nWhat metrics cost\n{machine()}")
    print(f"{sent} requests at no latency, medians of {options.runs}")
    print(f"the run              {run_s:8.2f} CPU s")
    print(f"its collector        {own_s:8.3f} CPU s")
    print(f"share: {own_s / run_s:.2%} (bound {BOUND:.0%}: {verdict})")


if __name__ == "__main__":
    main()
