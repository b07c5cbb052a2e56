"""Many recordings of one second: how many a second, and the CPU time of each.

    python benchmarks/small_recordings.py [--recordings 1000] [--runs 5]

Whole runs of ``sttbatch transcribe -j 10`` with nothing known of earlier ones, against an endpoint
that answers at once and is a process of its own. CPU time is that of the whole process tree, and
start-up is in all figures: the fewer the recordings, the more of it in each. Medians.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import Cost, measure, typical
from benchmarks.recordings import one_second_tones
from benchmarks.runs import command, fresh_state
from benchmarks.stand_in import StandIn, stand_in

LANES = 10
OPTIONS = ("-j", str(LANES), "--rate-limit", "100000")
SAMPLE_EVERY_S = 1.0
"""Memory is not asked for, and looking at it takes CPU time from the run."""

AT_LEAST_A_SECOND = 100
AT_MOST_CPU_MS = 10


@dataclass(frozen=True, slots=True)
class Measured:
    """One run; `endpoint_cpu_s` is the endpoint's own, which is no part of `cost`."""

    cost: Cost
    endpoint_cpu_s: float
    requests: int
    connections: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recordings", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    count: int = options.recordings
    with tempfile.TemporaryDirectory(prefix="small-") as temporary, stand_in() as endpoint:
        base = Path(temporary)
        one_second_tones(base / "talks", count)
        runs = [transcribed(endpoint, base) for _ in range(options.runs)]
    print_claims(
        f"{count} recordings of 1 s, -j {LANES}, no latency, medians of {options.runs}",
        judged(runs, count),
        f"first run: {runs[0].requests} requests over {runs[0].connections} connections",
    )


def transcribed(endpoint: StandIn, base: Path) -> Measured:
    state = fresh_state(base)
    cost, _ = measure(
        command(base / "talks", state, *OPTIONS),
        state.folder,
        environment=state.environment(endpoint),
        sample_every_s=SAMPLE_EVERY_S,
    )
    traffic = endpoint.traffic()
    connections = len({request.connection for request in traffic.requests})
    return Measured(cost, traffic.cpu_s, len(traffic.requests), connections)


def judged(runs: list[Measured], count: int) -> list[Claim]:
    cost = typical(run.cost for run in runs)
    endpoint_cpu_s = median(run.endpoint_cpu_s for run in runs)
    return [
        Claim("recordings a second", count / cost.wall_s, AT_LEAST_A_SECOND,
              f"{count} in {cost.wall_s:.2f} s", at_least=True, unit="/s"),
        Claim("CPU of a recording", 1000 * cost.cpu_s / count, AT_MOST_CPU_MS,
              f"{cost.cpu_s:.2f} s of the process tree", unit="ms"),
        Claim("the endpoint's own CPU of a recording", 1000 * endpoint_cpu_s / count, None,
              "not in the others", unit="ms"),
        Claim("CPU: sttbatch / the endpoint", cost.cpu_s / endpoint_cpu_s, None),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
