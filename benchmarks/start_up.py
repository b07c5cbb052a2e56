"""How long `--help` and `--version` take, beside a Python that imports typer.

    python benchmarks/start_up.py [--runs 15]

Wall and CPU time of whole processes, in turn, warm; medians. Judged by wall time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import Cost, measure, typical

TYPER = "import typer"
COMMANDS = {
    "--help": (["-m", "sttbatch", "--help"], 3.5),
    "transcribe --help": (["-m", "sttbatch", "transcribe", "--help"], None),
    "--version": (["-m", "sttbatch", "--version"], 1.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    commands = {TYPER: ["-c", TYPER]} | {name: line for name, (line, _) in COMMANDS.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="start-up-") as folder:
        for _ in range(options.runs + 1):
            for name, line in commands.items():
                costs[name].append(measure([sys.executable, *line], Path(folder))[0])
    # The first of each warmed up files and bytecode.
    medians = {name: typical(each[1:]) for name, each in costs.items()}
    typer = medians[TYPER]
    claims = [
        Claim(
            f"sttbatch {name}",
            medians[name].wall_s / typer.wall_s,
            at_most,
            f"{1000 * medians[name].wall_s:.0f} ms, typer {1000 * typer.wall_s:.0f} ms; by CPU "
            f"time {medians[name].cpu_s / typer.cpu_s:.2f} x",
        )
        for name, (_, at_most) in COMMANDS.items()
    ]
    print_claims(f"Start-up beside `{TYPER}`, medians of {options.runs}", claims)


if __name__ == "__main__":
    main()
