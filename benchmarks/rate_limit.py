"""Two runs at once under one limit of 240 requests a minute: none refused, nearly all of it used.

    python benchmarks/rate_limit.py [--recordings 190]

Two processes, each with a folder of its own and the same data folder, as one user would start
them. The endpoint refuses with 429 what exceeds 240 in any 60 s. The share of the limit that was
used is taken between the first and the last request of the time in which both processes had work:
(requests - 1) / (that time x 4 a second), and again without the first minute, in which a limiter
may spend a burst that it does not get again. The smaller of the two is judged. Requests are told
apart by their prompt.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import State, check, command, fresh_state
from benchmarks.stand_in import Request, StandIn, stand_in

PER_MINUTE = 240
WINDOW_S = 60.0
LATENCY_S = 0.2
RECORDING_S = 20.0
"""Short, but long enough that no two are the same by chance."""

NAMES = ("first", "second")
TIMEOUT_S = 300.0
MIN_LATER_S = 15.0
"""What is left after the first minute is judged from this length on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--recordings", type=int, default=190, help="in each folder")
    options = parser.parse_args()
    phrases = Phrases()
    with (
        tempfile.TemporaryDirectory(prefix="rate-limit-") as temporary,
        stand_in("--latency", LATENCY_S, "--rate-per-minute", PER_MINUTE) as endpoint,
    ):
        base = Path(temporary)
        for name in NAMES:
            phrases.folder(base / name, [RECORDING_S] * options.recordings)
        wall_s = together(endpoint, base, fresh_state(base))
        requests = endpoint.traffic().requests
        print_claims(
            f"{PER_MINUTE} requests a minute, two processes, {options.recordings} recordings each",
            judged(requests),
            f"both together took {wall_s:.1f} s; {len(requests)} requests",
            endpoint.own_cost,
        )


def together(endpoint: StandIn, base: Path, state: State) -> float:
    """Both at once, to their ends; seconds."""
    begun_s = time.perf_counter()
    processes = [
        subprocess.Popen(
            command(base / name, state, "--prompt", name, "--rate-limit", str(PER_MINUTE)),
            cwd=state.folder,
            env=state.environment(endpoint),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in NAMES
    ]
    try:
        for process in processes:
            _, complaints = process.communicate(timeout=TIMEOUT_S)
            check(process.returncode, complaints)
    finally:
        for process in processes:
            process.kill()  # does nothing to one that has ended
    return time.perf_counter() - begun_s


def judged(requests: Sequence[Request]) -> list[Claim]:
    arrivals = {
        name: [each.arrived_at_s for each in requests if each.prompt == name] for name in NAMES
    }
    begin_s = max(each[0] for each in arrivals.values())
    end_s = min(each[-1] for each in arrivals.values())
    both = [each.arrived_at_s for each in requests if begin_s <= each.arrived_at_s <= end_s]
    later = [at_s for at_s in both if at_s >= begin_s + WINDOW_S]
    shares = {"all of it": share(both)}
    if later and later[-1] - later[0] >= MIN_LATER_S:
        shares["after the first minute"] = share(later)
    refused = [each for each in requests if each.status == 429]
    by_process = ", ".join(
        f"{name} {sum(begin_s <= at_s <= end_s for at_s in each)}"
        for name, each in arrivals.items()
    )
    return [
        Claim("answers 429", len(refused), 0, unit=""),
        Claim("limit used", min(shares.values()), 0.93, at_least=True, detail="; ".join(
            f"{name} {each:.3f}" for name, each in shares.items())
            + f"; both had work for {end_s - begin_s:.1f} s"),
        Claim("most in any 60 s", busiest(requests), PER_MINUTE, unit=""),
        Claim("smaller share of the two", smaller_share(arrivals, begin_s, end_s), None,
              by_process),
    ]  # fmt: skip


def share(arrivals_s: Sequence[float]) -> float:
    span_s = arrivals_s[-1] - arrivals_s[0]
    return (len(arrivals_s) - 1) / (span_s * PER_MINUTE / WINDOW_S) if span_s else 0.0


def busiest(requests: Sequence[Request]) -> int:
    """The most that arrived within a minute, wherever it begins."""
    arrivals_s = [each.arrived_at_s for each in requests]
    return max(
        sum(begin_s <= at_s < begin_s + WINDOW_S for at_s in arrivals_s) for begin_s in arrivals_s
    )


def smaller_share(arrivals: dict[str, list[float]], begin_s: float, end_s: float) -> float:
    counts = [sum(begin_s <= at_s <= end_s for at_s in each) for each in arrivals.values()]
    return min(counts) / max(sum(counts), 1)


if __name__ == "__main__":
    main()
