"""What ten hours cost: memory beside one hour's, CPU beside ffmpeg's, time to the first request.

    python benchmarks/long_recording.py [--minutes 600] [--runs 1]

128 kbit/s stereo mp3, transcribed from beginning to end by a whole `sttbatch transcribe -j 4`:
fingerprint, cuts in silence, uploads over TLS and HTTP/2, ledger, outputs. The endpoint answers
after 0.3 s whatever the length, so that a run takes about as long as its own work. Memory is the
peak over the process tree, PSS where the system tells it.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import MB, Cost, measure, typical
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, command, fresh_state
from benchmarks.stand_in import StandIn, stand_in

HERE = Path(__file__).resolve().parent
HOUR_MIN = 60
CHUNK_S = 300
LATENCY_S = 0.3
LANES = 4
SAMPLE_EVERY_S = 0.05
MAX_MEMORY_BYTES = 300 * MB


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, or the medians of several.

    Attributes:
        first_request_s: from the start of the process.
    """

    cost: Cost
    first_request_s: float
    requests: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=int, default=600, help="of the long one (default: 600)")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="long-recording-") as temporary,
        stand_in("--latency", LATENCY_S) as endpoint,
    ):
        base, phrases = Path(temporary), Phrases()
        hour, long = base / "hour.mp3", base / "long.mp3"
        phrases.record(hour, 60.0 * HOUR_MIN)
        phrases.record(long, 60.0 * options.minutes)
        hashing_s = hashed(long)  # and in the page cache from here on
        ours_long = transcribed(endpoint, long, base, options.runs)
        unsearched = transcribed(endpoint, long, base, options.runs, "--vad", "off")
        ours_hour = transcribed(endpoint, hour, base, options.runs)
        claims = [
            *against_hour(ours_long, ours_hour, options.minutes),
            first_request(ours_long, hashing_s),
            Claim(
                "CPU, long: with the speech detector / --vad off",
                ours_long.cost.cpu_s / unsearched.cost.cpu_s,
                1.03,
                f"{ours_long.cost.cpu_s:.2f} s / {unsearched.cost.cpu_s:.2f} s",
            ),
        ]
        if shutil.which("ffmpeg") is None:
            print("skipped: ffmpeg and pydub (the program ffmpeg is not installed)")
        else:
            claims += [against_ffmpeg(ours_long, long, base)]
            claims += against_pydub(ours_hour, hour, base)
        print_claims(
            f"{options.minutes} min and {HOUR_MIN} min of 128 kbit/s mp3, -j {LANES}, "
            f"{options.runs} run(s)",
            claims, endpoint.own_cost,
        )  # fmt: skip


def hashed(path: Path) -> float:
    """Seconds that hashing it takes, once it is in the page cache."""
    path.read_bytes()
    begun_s = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begun_s


def transcribed(endpoint: StandIn, path: Path, base: Path, runs: int, *options: str) -> Measured:
    found = []
    for _ in range(runs):
        state = fresh_state(base)
        line = command(path, state, "-j", str(LANES), *UNLIMITED, *options)
        begun_at_s = time.monotonic()
        cost, _ = measure(
            line,
            state.folder,
            environment=state.environment(endpoint),
            sample_every_s=SAMPLE_EVERY_S,
        )
        traffic = endpoint.traffic()
        found.append(Measured(cost, traffic.first_at_s - begun_at_s, len(traffic.requests)))
    first_s = sorted(each.first_request_s for each in found)[runs // 2]
    return Measured(typical(each.cost for each in found), first_s, found[0].requests)


def against_hour(long: Measured, hour: Measured, minutes: int) -> list[Claim]:
    def of(run: Measured) -> str:
        cost = run.cost
        return (
            f"{cost.memory_bytes / MB:.1f} MB (RSS {cost.rss_bytes / MB:.1f}), "
            f"{run.requests} requests, {cost.cpu_s:.1f} CPU s, {cost.wall_s:.1f} s"
        )

    return [
        Claim(f"memory: {minutes} min / {HOUR_MIN} min",
              long.cost.memory_bytes / hour.cost.memory_bytes, 1.2, f"{of(long)} / {of(hour)}"),
        Claim(f"memory: {minutes} min", long.cost.memory_bytes / MB, MAX_MEMORY_BYTES / MB,
              unit="MB"),
    ]  # fmt: skip


def first_request(long: Measured, hashing_s: float) -> Claim:
    return Claim(
        "first request, less hashing", long.first_request_s - hashing_s, 1.5,
        f"{long.first_request_s:.2f} s after the start, hashing takes {hashing_s:.2f}", unit="s",
    )  # fmt: skip


def against_ffmpeg(ours: Measured, path: Path, base: Path) -> Claim:
    line = [
        *("ffmpeg", "-v", "error", "-i", str(path), "-c", "copy"),
        *("-f", "segment", "-segment_time", str(CHUNK_S), "%04d.mp3"),
    ]
    theirs = typical(
        measure(line, fresh_state(base).folder, sample_every_s=SAMPLE_EVERY_S)[0] for _ in range(3)
    )
    return Claim(
        "CPU, long: sttbatch / ffmpeg segment", ours.cost.cpu_s / theirs.cpu_s, 6.0,
        f"{ours.cost.cpu_s:.2f} s / {theirs.cpu_s:.2f} s (median of 3)",
    )  # fmt: skip


def against_pydub(ours: Measured, path: Path, base: Path) -> list[Claim]:
    folder = fresh_state(base).folder
    line = [sys.executable, "-P", str(HERE / "cut_with_pydub.py")]
    theirs, _ = measure([*line, str(path), str(folder), str(CHUNK_S)], folder)
    return [
        Claim("CPU, hour: sttbatch / pydub", ours.cost.cpu_s / theirs.cpu_s, 0.25,
              f"{ours.cost.cpu_s:.2f} s / {theirs.cpu_s:.2f} s; ours with uploads and ledger"),
        Claim("memory, hour: sttbatch / pydub",
              ours.cost.memory_bytes / theirs.memory_bytes, 0.125,
              f"{ours.cost.memory_bytes / MB:.1f} MB / {theirs.memory_bytes / MB:.1f} MB"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
