"""Are the lanes full? Whole runs beside the time that no client can beat.

    python benchmarks/lanes.py [--runs 1]

The bound is max(sum of latencies / lanes, longest) with chunks of 300 s; a figure is (wall time of
the whole process - start-up) / bound, start-up being the time until its first request. Each row is
run with no history, then over other recordings with the latencies of that run in the ledger, which
the chunk lengths are chosen by. Both are judged; with several runs, their medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, Run, fresh_state, lower_bound_s, transcribe
from benchmarks.stand_in import StandIn, stand_in

HOUR_LATENCY = (0.3, 0.004)
"""Seconds, and seconds for each second of audio."""

LECTURES_S = [60.0 * minutes for minutes in (25, 27, 29, 31, 33, 35)]


@dataclass(frozen=True, slots=True)
class Row:
    """Recordings of these lengths, and what their figure must not exceed."""

    name: str
    durations_s: list[float]
    lanes: int
    at_most: float
    latency: tuple[float, float] = HOUR_LATENCY


ROWS = (
    Row("6 of 25 to 35 min, -j 4", LECTURES_S, 4, 1.05),
    Row("6 of 25 to 35 min, -j 8", LECTURES_S, 8, 1.08),
    Row("40 of 60 s, -j 4", [60.0] * 40, 4, 1.05),
    Row("1 of 20 min, -j 4", [1200.0], 4, 1.15),
    Row("200 of 20 s, 0.5 s each, -j 8", [20.0] * 200, 8, 1.10, (0.5, 0.0)),
)
HISTORIES = ("no history", "history")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--row", type=int, choices=range(len(ROWS)), help="only this one")
    options = parser.parse_args()
    rows = ROWS if options.row is None else (ROWS[options.row],)
    phrases = Phrases()
    claims, costs = [], []
    with tempfile.TemporaryDirectory(prefix="lanes-") as temporary:
        for row in rows:
            with stand_in("--latency", row.latency[0], "--latency-per-second",
                          row.latency[1]) as endpoint:  # fmt: skip
                claims += measured(row, phrases, Path(temporary), endpoint, options.runs)
                costs.append(f"{row.name}: {endpoint.own_cost}")
    print_claims("Lanes: (wall - start-up) / lower bound", claims, *costs)


numbers = itertools.count()
"""Of folders: the name of each makes its recordings others."""


def measured(row: Row, phrases: Phrases, base: Path, endpoint: StandIn, runs: int) -> list[Claim]:
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in HISTORIES}
    for _ in range(runs):
        state = fresh_state(base)
        for history in HISTORIES:
            source = base / f"talks-{next(numbers)}"
            durations_s = phrases.folder(source, row.durations_s)
            bound_s = lower_bound_s(durations_s, row.lanes, *row.latency)
            run = transcribe(endpoint, source, state, "-j", str(row.lanes), *UNLIMITED)
            figure = (run.wall_s - run.start_up_s) / bound_s
            found[history].append((figure, made_of(run, bound_s)))
    return [
        Claim(
            f"{row.name}, {history}",
            statistics.median(figure for figure, _ in each),
            row.at_most,
            sorted(each)[len(each) // 2][1],
        )
        for history, each in found.items()
    ]


def made_of(run: Run, bound_s: float) -> str:
    traffic = run.traffic
    return (
        f"wall {run.wall_s:.2f} s, start-up {run.start_up_s:.2f}, bound {bound_s:.2f}, "
        f"after the last answer {run.ending_s:.2f}; {len(traffic.requests)} requests, "
        f"{traffic.mean_in_flight():.2f} in flight on average, "
        f"{1000 * traffic.upload_s / len(traffic.requests):.0f} ms to upload one"
    )


if __name__ == "__main__":
    main()
