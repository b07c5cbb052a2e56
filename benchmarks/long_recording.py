"""What long recordings cost: CPU beside ffmpeg's, memory beside a short one's.

    python benchmarks/long_recording.py [--runs 5]

128 kbit/s stereo mp3, transcribed from beginning to end by a whole `sttbatch transcribe -j 4`:
fingerprint, cuts in silence, uploads over TLS and HTTP/2, ledger, outputs. CPU time is that of six
hours, in turn with `ffmpeg -c copy -f segment`; memory that of ten hours, in turn with one hour, at
most three times, as it hardly varies: the peak over the process tree, PSS where the system has it.
The endpoint answers after 0.3 s whatever the length, so that a run takes about as long as its own
work; five runs take two minutes on two cores. Without ffmpeg its claims are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import MB, Cost, measure, typical
from benchmarks.recordings import Phrases
from benchmarks.runs import UNLIMITED, command, fresh_state
from benchmarks.stand_in import StandIn, stand_in

HERE = Path(__file__).resolve().parent
HOUR_MIN, CPU_MIN, LONG_MIN = 60, 360, 600
CHUNK_S = 300
LATENCY_S = 0.3
LANES = 4
SAMPLE_EVERY_S = 0.05
FEWER_RUNS = 3


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
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with (
        tempfile.TemporaryDirectory(prefix="long-recording-") as temporary,
        stand_in("--latency", LATENCY_S) as endpoint,
    ):
        base, phrases = Path(temporary), Phrases()
        hour, six, ten = base / "hour.mp3", base / "six.mp3", base / "ten.mp3"
        for path, minutes in ((hour, HOUR_MIN), (six, CPU_MIN), (ten, LONG_MIN)):
            phrases.record(path, 60.0 * minutes)
        hashing_s = hashed(ten)  # and in the page cache from here on
        six.read_bytes()
        ours, theirs, unsearched = [], [], []
        has_ffmpeg = shutil.which("ffmpeg") is not None
        for _ in range(runs):
            ours.append(transcribed(endpoint, six, base))
            theirs += [segmented(six, base)] if has_ffmpeg else []
        longs, hours = [], []
        for _ in range(min(runs, FEWER_RUNS)):
            unsearched.append(transcribed(endpoint, six, base, "--vad", "off").cost.cpu_s)
            longs.append(transcribed(endpoint, ten, base))
            hours.append(transcribed(endpoint, hour, base))
        cpu_s = median(run.cost.cpu_s for run in ours)
        claims = [
            *against_hour(middle(longs), middle(hours)),
            first_request(middle(longs), hashing_s),
            Claim(
                "CPU, long: with the speech detector / --vad off",
                cpu_s / median(unsearched),
                1.03,
                f"{cpu_s:.2f} s / {median(unsearched):.2f} s",
            ),
        ]
        if has_ffmpeg:
            claims += [against_ffmpeg(cpu_s, median(theirs))]
            claims += against_pydub(middle(hours), hour, base)
        else:
            print("FAILED: CPU beside ffmpeg and pydub: the program ffmpeg is not installed")
        print_claims(
            f"{HOUR_MIN}, {CPU_MIN} and {LONG_MIN} min of 128 kbit/s mp3, -j {LANES}, "
            f"medians of {runs}, but of memory and --vad off {len(longs)}",
            claims, endpoint.own_cost,
        )  # fmt: skip


def hashed(path: Path) -> float:
    """Seconds that hashing it takes, once it is in the page cache."""
    path.read_bytes()
    begun_s = time.perf_counter()
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.perf_counter() - begun_s


def transcribed(endpoint: StandIn, path: Path, base: Path, *options: str) -> Measured:
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
    return Measured(cost, traffic.first_at_s - begun_at_s, len(traffic.requests))


def middle(runs: Sequence[Measured]) -> Measured:
    """The median of each figure by itself."""
    first_s = median(run.first_request_s for run in runs)
    return Measured(typical(run.cost for run in runs), first_s, runs[0].requests)


def segmented(path: Path, base: Path) -> float:
    """CPU seconds of ffmpeg, which copies the packets into chunks."""
    line = [
        *("ffmpeg", "-v", "error", "-i", str(path), "-c", "copy"),
        *("-f", "segment", "-segment_time", str(CHUNK_S), "%04d.mp3"),
    ]
    return measure(line, fresh_state(base).folder, sample_every_s=SAMPLE_EVERY_S)[0].cpu_s


def against_hour(long: Measured, hour: Measured) -> list[Claim]:
    def of(run: Measured) -> str:
        cost = run.cost
        return (
            f"{cost.memory_bytes / MB:.1f} MB (RSS {cost.rss_bytes / MB:.1f}), "
            f"{run.requests} requests, {cost.cpu_s:.1f} CPU s, {cost.wall_s:.1f} s"
        )

    return [
        Claim(f"memory: {LONG_MIN} min / {HOUR_MIN} min",
              long.cost.memory_bytes / hour.cost.memory_bytes, 1.2, f"{of(long)} / {of(hour)}"),
        Claim(f"memory: {LONG_MIN} min", long.cost.memory_bytes / MB, 130.0, unit="MB"),
    ]  # fmt: skip


def first_request(long: Measured, hashing_s: float) -> Claim:
    return Claim(
        "first request, less hashing", long.first_request_s - hashing_s, 1.5,
        f"{long.first_request_s:.2f} s after the start, hashing takes {hashing_s:.2f}", unit="s",
    )  # fmt: skip


def against_ffmpeg(ours_s: float, theirs_s: float) -> Claim:
    return Claim(
        "CPU, long: sttbatch / ffmpeg segment", ours_s / theirs_s, 2.5,
        f"{ours_s:.2f} s / {theirs_s:.2f} s, in turn",
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
