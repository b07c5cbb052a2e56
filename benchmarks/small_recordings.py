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
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import one_second_tones
from benchmarks.runs import Run, fresh_state, transcribe
from benchmarks.stand_in import stand_in

LANES = 10
OPTIONS = ("-j", str(LANES), "--rate-limit", "100000")
AT_LEAST_A_SECOND = 100
AT_MOST_CPU_MS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recordings", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="small-") as temporary, stand_in() as endpoint:
        base = Path(temporary)
        one_second_tones(base / "talks", options.recordings)
        runs = [
            transcribe(endpoint, base / "talks", fresh_state(base), *OPTIONS)
            for _ in range(options.runs)
        ]
    requests = runs[0].traffic.requests
    connections = len({request.connection for request in requests})
    print_claims(
        f"{options.recordings} recordings of 1 s, -j {LANES}, no latency, "
        f"medians of {options.runs}",
        judged(runs, options.recordings),
        f"first run: {len(requests)} requests over {connections} connections",
    )


def judged(runs: list[Run], count: int) -> list[Claim]:
    wall_s = median(run.wall_s for run in runs)
    cpu_s = median(run.cpu_s for run in runs)
    endpoint_cpu_s = median(run.traffic.cpu_s for run in runs)
    return [
        Claim("recordings a second", count / wall_s, AT_LEAST_A_SECOND,
              f"{count} in {wall_s:.2f} s", at_least=True, unit="/s"),
        Claim("CPU of a recording", 1000 * cpu_s / count, AT_MOST_CPU_MS,
              f"{cpu_s:.2f} s of the process tree", unit="ms"),
        Claim("the endpoint's own CPU of a recording", 1000 * endpoint_cpu_s / count, None,
              "not in the others", unit="ms"),
        Claim("CPU: sttbatch / the endpoint", cpu_s / endpoint_cpu_s, None),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
