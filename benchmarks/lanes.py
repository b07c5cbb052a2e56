"""Are the lanes full? Whole runs beside the time that no client can beat.

    python benchmarks/lanes.py [--runs 5] [--all | --row N]

The bound is max(sum of latencies / lanes, longest) with chunks of the row's length. A figure is
beside it: the whole process; what was on the wire, from the first request to the last answer; or
the process after its start-up, which ends with the first request. Each row is run with no history;
with `--all`, there are more rows, and each is run again over other recordings with the latencies
of that run in the ledger, which the chunk lengths are chosen by. Medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import CHUNK_S, UNLIMITED, Run, fresh_state, lower_bound_s, transcribe
from benchmarks.stand_in import StandIn, stand_in

HOUR_LATENCY = (0.3, 0.004)
"""Seconds, and seconds for each second of audio."""

LECTURES_S = [60.0 * minutes for minutes in (25, 27, 29, 31, 33, 35)]


class Part(Enum):
    """What of a run is beside the bound."""

    WHOLE = "whole"
    WIRE = "wire"
    AFTER_START_UP = "after start-up"

    def seconds(self, run: Run) -> float:
        if self is Part.WIRE:
            return run.traffic.last_at_s - run.traffic.first_at_s
        return run.wall_s - (run.start_up_s if self is Part.AFTER_START_UP else 0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """Recordings of these lengths, and what their figure must not exceed."""

    name: str
    durations_s: list[float]
    lanes: int
    at_most: float
    part: Part = Part.AFTER_START_UP
    chunk_s: float = CHUNK_S
    latency: tuple[float, float] = HOUR_LATENCY


ROWS = (
    Row("6 of 25 to 35 min, -j 4", LECTURES_S, 4, 1.03, Part.WIRE, 120.0),
    Row("6 of 25 to 35 min, -j 8", LECTURES_S, 8, 1.05, Part.WIRE, 120.0),
    Row("40 of 60 s, -j 4", [60.0] * 40, 4, 1.10, Part.WHOLE),
)
MORE_ROWS = (
    Row("6 of 25 to 35 min, 300 s chunks, -j 4", LECTURES_S, 4, 1.05),
    Row("6 of 25 to 35 min, 300 s chunks, -j 8", LECTURES_S, 8, 1.08),
    Row("1 of 20 min, -j 4", [1200.0], 4, 1.15),
    Row("200 of 20 s, 0.5 s each, -j 8", [20.0] * 200, 8, 1.10, latency=(0.5, 0.0)),
)
HISTORIES = ("no history", "history")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="more rows, and with a history")
    parser.add_argument("--row", type=int, choices=range(len(ROWS)), help="only this one")
    options = parser.parse_args()
    rows = [*ROWS] if options.row is None else [ROWS[options.row]]
    if options.all:
        rows += MORE_ROWS
    histories = HISTORIES if options.all else HISTORIES[:1]
    phrases = Phrases()
    claims, costs = [], []
    with tempfile.TemporaryDirectory(prefix="lanes-") as temporary:
        for row in rows:
            with stand_in("--latency", row.latency[0], "--latency-per-second",
                          row.latency[1]) as endpoint:  # fmt: skip
                claims += measured(row, phrases, Path(temporary), endpoint, options.runs, histories)
                costs.append(f"{row.name}: {endpoint.own_cost}")
    print_claims(f"Lanes beside the lower bound, medians of {options.runs}", claims, *costs)


numbers = itertools.count()
"""Of folders: the name of each makes its recordings others."""


def measured(
    row: Row,
    phrases: Phrases,
    base: Path,
    endpoint: StandIn,
    runs: int,
    histories: Sequence[str],
) -> list[Claim]:
    found: dict[str, list[tuple[float, str]]] = {name: [] for name in histories}
    in_use: dict[str, list[float]] = {name: [] for name in histories}
    for _ in range(runs):
        state = fresh_state(base)
        for history in histories:
            source = base / f"talks-{next(numbers)}"
            durations_s = phrases.folder(source, row.durations_s)
            bound_s = lower_bound_s(durations_s, row.lanes, *row.latency, row.chunk_s)
            chunks = ("--chunk-duration", str(row.chunk_s))
            run = transcribe(endpoint, source, state, "-j", str(row.lanes), *chunks, *UNLIMITED)
            figure = row.part.seconds(run) / bound_s
            found[history].append((figure, f"{row.part.value}; {made_of(run, bound_s)}"))
            in_use[history].append(run.traffic.mean_in_flight() / row.lanes)
    claims = [
        Claim(
            f"{row.name}, {history}",
            statistics.median(figure for figure, _ in each),
            row.at_most,
            sorted(each)[len(each) // 2][1],
        )
        for history, each in found.items()
    ]
    return claims + [
        Claim(f"{row.name}, {history}: lanes in use", statistics.median(each), None, at_least=True)
        for history, each in in_use.items()
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
