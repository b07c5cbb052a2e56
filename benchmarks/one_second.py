"""One second of audio, whole processes: what `transcribe` takes beside a Python that imports.

    python benchmarks/one_second.py [--runs 5]

The endpoint answers at once, and nothing is known of earlier runs. Beside it, in turn, a Python
that imports what any such client imports: typer, httpx and av. Wall time; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.runs import Run, fresh_state, timed, transcribe
from benchmarks.stand_in import stand_in
from tests.cloudru.tones import make_recording

IMPORTS = "import typer, httpx, av"
AT_MOST = 1.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    runs: list[Run] = []
    imports: list[Run] = []
    with (
        tempfile.TemporaryDirectory(prefix="one-second-") as temporary,
        stand_in("--latency", 0) as endpoint,
    ):
        base = Path(temporary)
        source = base / "talk.wav"
        make_recording(source, duration_s=1.0)
        for _ in range(options.runs + 1):
            runs.append(transcribe(endpoint, source, fresh_state(base)))
            imports.append(timed([sys.executable, "-c", IMPORTS], endpoint, base, os.environ))
        own_cost = endpoint.own_cost
    # The first of each warmed up files and bytecode.
    claims = judged(runs[1:], imports[1:])
    title = f"One second of audio beside `{IMPORTS}`, medians of {options.runs}, in turn"
    print_claims(title, claims, own_cost)


def judged(runs: list[Run], imports: list[Run]) -> list[Claim]:
    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    ours_s, theirs_s = middle(run.wall_s for run in runs), middle(run.wall_s for run in imports)
    our_cpu_s, their_cpu_s = middle(run.cpu_s for run in runs), middle(run.cpu_s for run in imports)
    first_s, ending_s = middle(run.start_up_s for run in runs), middle(run.ending_s for run in runs)
    return [
        Claim(
            "sttbatch transcribe / imports",
            ours_s / theirs_s,
            AT_MOST,
            f"{ours_s:.2f} s / {theirs_s:.2f} s; first request after {first_s:.2f} s, "
            f"{ending_s:.2f} s after the last answer",
        ),
        Claim(
            "CPU: sttbatch transcribe / imports",
            our_cpu_s / their_cpu_s,
            None,
            f"{our_cpu_s:.2f} s / {their_cpu_s:.2f} s",
        ),
    ]


if __name__ == "__main__":
    main()
