"""What 1 to 1,000 workers do to one PostgreSQL, to the endpoint's limit and to Redis: a simulation.

    python -m benchmarks.cluster_sim [--round-trip 0.5] [--workers 1 10 1000] [--figures FILE]

Measures with the real code, at private servers of Debian's PostgreSQL and Redis, what a claim, a
chunk, a heartbeat, a poll and a rate slot cost; simulates workers that do these as often as the
code's constants say; prints what breaks first and which change of the code moves that point; then
measures 1, 2 and 4 real workers beside their prediction. `--figures` keeps what was measured: if
the file exists, nothing is measured but the real workers, and with `--quick` not even those.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import cluster_tables as tables
from benchmarks.cluster_costs import component_costs, flush_s, usual_connections
from benchmarks.cluster_figures import Figures, read_figures
from benchmarks.cluster_ladder import REMEDIES, all_simulated, changed, ladder
from benchmarks.cluster_model import Cluster
from benchmarks.cluster_runs import measurements_of, redis_costs, steps_of, traced_recordings
from benchmarks.cluster_store import Plan
from benchmarks.measure import machine
from benchmarks.recordings import Phrases
from benchmarks.stand_in import stand_in
from benchmarks.workers import LANES, LATENCY_S, RECORDING_S, throughput
from sttbatch.composition.settings import Settings
from tests.database.postgresql import PostgreSQL, postgresql, programs
from tests.redis_server import PROGRAM as REDIS
from tests.redis_server import redis_server

WORKERS = (1, 2, 4, 10, 30, 100, 1000)
COMPARED = (1, 2, 4)
ANSWERS = 4
"""Of each lane of the real workers."""

UNLIMITED = 6000
"""The limit of the real workers, which they never reach."""

HIGH = 2400
"""A limit that an endpoint may raise to."""

SHORT_LATENCY_S = 0.5


def main() -> None:
    options = _options()
    begun_s = time.monotonic()
    if options.figures is not None and options.figures.exists():
        figures = read_figures(options.figures)
    else:
        figures = measured()
        if options.figures is not None:
            figures.write(options.figures)
    tables.print_figures(figures)
    for per_minute in options.limits:
        plan = Plan(
            workers=1,
            lanes=LANES,
            latency_s=LATENCY_S,
            per_minute=per_minute,
            round_trip_s=options.round_trip / 1000,
            flush_s=figures.flush_s,
            cores=options.cores,
        )
        print_simulations(plan, figures, options.workers)
    if not options.quick:
        compare(figures)
    print(f"\nthis script took {time.monotonic() - begun_s:.0f} s", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--round-trip", type=float, default=0.5, metavar="MS",
                        help="between workers and PostgreSQL")  # fmt: skip
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="how many")
    limits = [Settings().rate_limit, HIGH]
    parser.add_argument("--limits", type=int, nargs="+", default=limits, help="requests a minute")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="of PostgreSQL's machine")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="measured figures, as JSON")
    parser.add_argument("--quick", action="store_true", help="no real workers")
    return parser.parse_args()


def measured() -> Figures:
    """Raises SystemExit without PostgreSQL."""
    found = programs()
    if found is None:
        sys.exit("PostgreSQL 15 or newer is not installed (Debian: postgresql)")
    load = tables.load_now()
    with postgresql(found) as server:
        tasks, ending, before, cpu_s = component_costs(server)
        connections = usual_connections(server.url)
    with (
        tempfile.TemporaryDirectory(prefix="cluster-") as name,
        stand_in("--latency", SHORT_LATENCY_S) as endpoint,
        postgresql(found) as server,
    ):
        base, phrases = Path(name), Phrases()
        log, first = traced_recordings(base, endpoint, server, phrases)
        prepare, finish = steps_of(log, first, cpu_s)
        tasks["measurements"] = measurements_of(log, cpu_s)
        redis = None
        if REDIS is not None:
            with redis_server() as broker:
                redis = redis_costs(base, endpoint, server, broker, phrases)
        disk_s = flush_s(base)
    return Figures(
        machine=machine(),
        load=load,
        tasks=tasks,
        prepare=prepare,
        finish=finish,
        ending=ending,
        before=before,
        flush_s=disk_s,
        connections=connections,
        redis=redis,
    )


def print_simulations(plan: Plan, figures: Figures, workers: Sequence[int]) -> None:
    """Without and with Celery, and what each change does for many workers."""
    plans = [replace(plan, workers=count) for count in workers]
    results = all_simulated(plans, figures)
    tables.print_results(plan, results, "PostgreSQL alone")
    if figures.redis is not None:
        told = all_simulated([changed(each, "celery") for each in plans], figures)
        tables.print_results(plan, told, "Celery and Redis")
        tables.print_redis(told, figures.redis)
    for result in results:
        # The most workers take minutes, and one limit says it all.
        is_small = plan.per_minute == Settings().rate_limit or result.plan.workers < WORKERS[-1]
        if result.breaks in REMEDIES and is_small:
            tables.print_ladder(result, ladder(result, figures))


def compare(figures: Figures) -> None:
    """Real workers beside their prediction: no network, no flush, no limit in the way."""
    found = programs()
    if found is None:
        return
    phrases, rows = Phrases(), []
    for count in COMPARED:
        with (
            tempfile.TemporaryDirectory(prefix="cluster-") as name,
            postgresql(found) as server,
            stand_in("--latency", LATENCY_S) as endpoint,
        ):
            base = Path(name)
            recordings = count * LANES * ANSWERS
            folder = base / f"talks-{count}"
            phrases.folder(folder, [RECORDING_S] * recordings)
            (claim,) = throughput(base, folder, count, endpoint, server)
            commits = _commits(server, count) / recordings
        share, expected = predicted(count, recordings, figures)
        rows.append(tables.Compared(count, claim.figure, share, commits, expected, claim.detail))
    tables.print_compared(rows)


def predicted(count: int, recordings: int, figures: Figures) -> tuple[float, float]:
    """Of what their lanes allow, and the ledger's commits for each recording."""
    plan = Plan(count, LANES, LATENCY_S, 0.0, UNLIMITED, recordings=recordings)
    cluster = Cluster(plan, figures)
    cluster.run(3600.0)
    span_s = cluster.seen.answered[-1] - cluster.seen.sent[0]
    share = recordings * LATENCY_S / (count * LANES) / span_s
    # The last recordings are still to be written.
    cluster.clock.run(cluster.clock.now + 1.0)
    return share, cluster.seen.of_ledger / recordings


def _commits(server: PostgreSQL, count: int) -> int:
    """The ledger's commits by the workers, who commit more than any other store of a process."""
    query = """SELECT sum(number) FROM
        (SELECT number FROM last_commits ORDER BY number DESC LIMIT %s) AS most"""
    with psycopg.connect(server.url) as connection:
        ((commits,),) = connection.execute(query, (count,)).fetchall()
    return int(commits)


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main()
