"""`-j auto` beside fixed numbers of lanes, against an endpoint that is busy with six requests.

    python benchmarks/adaptive.py [--fixed 6]

Two endpoints: one answers 429 above six at once, one takes twice as long for what comes while more
than six are served. 300 requests of about 10 s of audio, 0.3 s each, no history. Where it settles
is the number in flight at the endpoint, weighted by time, from the arrival of the 60th answered
request until the work runs out (the last 20); what was answered 429 is not in flight. Throughput
is answered requests a second from the first arrival to the last answer. The best fixed `-j` is
six by construction: fewer lanes do not fill such an endpoint, more are slowed down just the same or
refused again and again, which takes minutes. Others take `--fixed 5 6 7`. A client whose own CPU is
short cannot show six in flight either, so the rows of fixed numbers are printed beside it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, Run, command, fresh_state, transcribe
from benchmarks.stand_in import StandIn, Traffic, stand_in

BUSY = 6
LATENCY_S = 0.3
CHUNK_S = 10
RECORDINGS, RECORDING_S = 10, 310.0
SETTLED_AFTER, RUNS_OUT = 60, 20
ENDPOINTS = {
    "429 above 6": ("--max-concurrent", BUSY),
    "twice as slow above 6": ("--slow-above", BUSY),
}
# A fixed number above what the endpoint takes is refused more often than the usual 3 retries.
OPTIONS = ("--chunk-duration", str(CHUNK_S), "--retries", "10", *UNLIMITED)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: answered requests a second, and how often 429."""

    throughput: float
    refused: int
    run: Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fixed", type=int, nargs="+", default=[6])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="adaptive-") as temporary:
        base = Path(temporary)
        talks = base / "talks"
        Phrases().folder(talks, [RECORDING_S] * RECORDINGS)
        for name, limits in ENDPOINTS.items():
            with stand_in("--latency", LATENCY_S, *limits) as endpoint:
                fixed = {
                    lanes: measured(endpoint, talks, base, str(lanes)) for lanes in options.fixed
                }
                claims, notes = [], [line(f"-j {lanes}", each) for lanes, each in fixed.items()]
                missing = why_no_auto(endpoint, talks, base)
                if missing is None:
                    auto = measured(endpoint, talks, base, "auto")
                    best = max(fixed, key=lambda lanes: fixed[lanes].throughput)
                    claims = judged(auto, fixed[best], f"-j {best}")
                    notes += [line("-j auto", auto), over_time(auto.run.traffic)]
                else:
                    claims = [Claim("-j auto", 0.0, 0.9, missing, at_least=True)]
                print_claims(f"-j auto: {name}", claims, *notes, endpoint.own_cost)


def measured(endpoint: StandIn, talks: Path, base: Path, lanes: str) -> Measured:
    run = transcribe(endpoint, talks, fresh_state(base), "-j", lanes, *OPTIONS)
    traffic = run.traffic
    throughput = traffic.count(200) / (traffic.last_at_s - traffic.first_at_s)
    return Measured(throughput, traffic.count(429), run)


def why_no_auto(endpoint: StandIn, talks: Path, base: Path) -> str | None:
    """What a sttbatch without `-j auto` says; None: it has it."""
    state = fresh_state(base)
    done = subprocess.run(
        command(talks, state, "-j", "auto", "--dry-run"),
        cwd=state.folder,
        env=state.environment(endpoint),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    return f"this sttbatch does not take `-j auto` (exit status {done.returncode})"


def judged(auto: Measured, best: Measured, best_name: str) -> list[Claim]:
    spans = settled(auto.run.traffic)
    total_s = sum(spans.values())
    mean = sum(level * span_s for level, span_s in spans.items()) / total_s
    typical, so_far_s = 0, 0.0
    for level, span_s in sorted(spans.items()):
        typical, so_far_s = level, so_far_s + span_s
        if so_far_s >= total_s / 2:
            break
    shares = ", ".join(
        f"{level}: {100 * span_s / total_s:.0f} %" for level, span_s in sorted(spans.items())
    )
    return [
        Claim("settles at (median in flight)", typical, BUSY - 1, f"mean {mean:.2f}; {shares}",
              at_least=True, unit=""),
        Claim("settles at (median in flight)", typical, BUSY, unit=""),
        Claim(f"throughput beside the best, {best_name}", auto.throughput / best.throughput, 0.9,
              f"{auto.throughput:.1f}/s, {best.throughput:.1f}/s; 429: {auto.refused}",
              at_least=True),
    ]  # fmt: skip


def settled(traffic: Traffic) -> dict[int, float]:
    """Seconds at each number in flight, once it should have settled."""
    arrivals = [each.arrived_at_s for each in traffic.requests if each.status == 200]
    spans: defaultdict[int, float] = defaultdict(float)
    for span_s, level in traffic.levels(arrivals[SETTLED_AFTER - 1], arrivals[-RUNS_OUT]):
        spans[level] += span_s
    return spans


def over_time(traffic: Traffic) -> str:
    """The mean number in flight in each tenth of the time."""
    tenth_s = (traffic.last_at_s - traffic.first_at_s) / 10
    means = []
    for number in range(10):
        begin_s = traffic.first_at_s + number * tenth_s
        levels = traffic.levels(begin_s, begin_s + tenth_s)
        means.append(sum(span_s * level for span_s, level in levels) / tenth_s)
    return f"in flight, by tenths of the time: {' '.join(f'{mean:.1f}' for mean in means)}"


def line(name: str, each: Measured) -> str:
    traffic = each.run.traffic
    return (
        f"{name:8} {each.throughput:5.1f} answers a second, {traffic.mean_in_flight():.2f} in "
        f"flight on average, {traffic.count(200)} answered, {each.refused} answered 429, "
        f"wall {each.run.wall_s:.1f} s"
    )


if __name__ == "__main__":
    main()
