"""What it costs to prepare all chunks of one long recording, beside two other ways.

Usage: ``python benchmarks/prepare.py [--runs N] [--keep FOLDER]`` in a checkout, with the `dev`
extra installed.

It writes an hour of 128 kbit/s stereo mp3 and has it cut into chunks of about 300 s

* by sttbatch: fingerprint, probe, and every chunk taken from the media workers as a batch takes
  them: packets copied, cuts in silence, content hashes;
* by pydub: decoded whole, to 16 kHz mono, exported slice by slice (it starts ffmpeg);
* by ``ffmpeg -c copy -f segment``: packets copied, cut wherever a packet ends.

Each way runs in a process tree of its own, all of them in turn, N times. The exit status is
always 0: figures depend on the machine, so this is no test.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Run as a script, only this folder is on the path, and `benchmarks` itself is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import (
    MB,
    SAMPLE_EVERY_S,
    CommandFailedError,
    Cost,
    machine,
    measure,
    typical,
)
from benchmarks.recordings import BIT_RATE, Phrases

HERE = Path(__file__).resolve().parent

MAX_CPU_S = 3.0
MAX_MEMORY_BYTES = 150 * MB
"""What preparing an hour may take, over the process tree."""

BOUNDED_MINUTES = 60
CHUNK_S = 300

SCRATCH = "{scratch}"
"""Stands in a command for the empty folder that each run is given."""


@dataclass(frozen=True, slots=True)
class Way:
    """A command that cuts the recording."""

    name: str
    command: tuple[str, ...]
    needs: str | None = None


OURS, PYDUB, SEGMENT = "sttbatch", "pydub", "ffmpeg -c copy -f segment"


def ways(recording: Path, held: int) -> tuple[Way, ...]:
    name = str(recording)
    # -P: what is imported is what is installed, nothing that lies beside the program.
    python = (sys.executable, "-P")
    sttbatch = (*python, str(HERE / "cut_with_sttbatch.py"), name, SCRATCH, str(held))
    pydub = (*python, str(HERE / "cut_with_pydub.py"), name, SCRATCH, str(CHUNK_S))
    segment = (
        *("ffmpeg", "-v", "error", "-i", name, "-c", "copy"),
        *("-f", "segment", "-segment_time", str(CHUNK_S), "%04d.mp3"),
    )
    return (
        Way(OURS, sttbatch),
        Way(PYDUB, pydub, needs="ffmpeg"),
        Way(SEGMENT, segment, needs="ffmpeg"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    began_at_s = time.monotonic()
    options = _options(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        recording = _recording(folder, options.minutes)
        found = ways(recording, options.held)
        present = [way for way in found if way.needs is None or shutil.which(way.needs)]
        for way in found:
            if way not in present:
                print(f"skipped: {way.name} (the program {way.needs} is not installed)")
        costs, chunks = _measure_all(present, options.runs)
    print(machine())
    print(
        f"{options.minutes} min of {BIT_RATE // 1000} kbit/s stereo mp3, "
        f"median of {options.runs} run(s), MB of 10^6 bytes"
    )
    if options.held:
        print(f"sttbatch keeps the last {options.held} chunks in memory")
    _print_table(costs, chunks)
    if OURS in costs:
        _print_bounds(costs[OURS], options.minutes)
    print(f"this script took {time.monotonic() - began_at_s:.0f} s")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3, help="of each way (default: 3)")
    parser.add_argument(
        "--minutes",
        type=int,
        default=BOUNDED_MINUTES,
        help=f"length of the recording; bounds are for {BOUNDED_MINUTES}, the default",
    )
    parser.add_argument(
        "--held",
        type=int,
        default=0,
        help="chunks sttbatch keeps, as lanes that wait for answers do (default: 0)",
    )
    parser.add_argument("--keep", type=Path, help="folder for the recording, used again if there")
    options = parser.parse_args(arguments)
    if min(options.runs, options.minutes) < 1 or options.held < 0:
        parser.error("--runs and --minutes are 1 or more, --held is 0 or more")
    return options


def _recording(folder: Path, minutes: int) -> Path:
    path = folder.resolve() / f"{minutes}-minutes.mp3"
    if not path.exists():
        print(f"writing {path.name} ...", file=sys.stderr)
        # Made under another name, so that a file that was kept is always a whole one.
        partial = path.with_name(f"partial-{path.name}")
        Phrases().record(partial, 60.0 * minutes)
        partial.replace(path)
    # Nobody's figures should hold the disk: from here on it is in the page cache.
    path.read_bytes()
    return path


def _measure_all(present: Sequence[Way], runs: int) -> tuple[dict[str, Cost], dict[str, int]]:
    """Costs and chunk counts by name; what fails is said and left out."""
    costs: defaultdict[str, list[Cost]] = defaultdict(list)
    chunks: dict[str, int] = {}
    for number in range(1, runs + 1):
        for way in present:
            print(f"run {number} of {runs}: {way.name} ...", file=sys.stderr)
            with tempfile.TemporaryDirectory() as scratch:
                command = [scratch if word == SCRATCH else word for word in way.command]
                try:
                    cost, said = measure(command, Path(scratch))
                except CommandFailedError as error:
                    print(f"failed: {way.name}: {error}")
                    continue
                costs[way.name].append(cost)
                chunks[way.name] = int(said) if said else len(list(Path(scratch).iterdir()))
    return {name: typical(each) for name, each in costs.items()}, chunks


def _print_table(costs: dict[str, Cost], chunks: dict[str, int]) -> None:
    base = costs.get(SEGMENT)
    print()
    print(
        f"{'':26}{'chunks':>7}{'CPU s':>9}{'wall s':>9}{'PSS MB':>9}{'RSS MB':>9}"
        f"{'CPU':>9}{'memory':>9}"
    )
    for name, cost in costs.items():
        pss = "-" if cost.pss_bytes is None else f"{cost.pss_bytes / MB:.1f}"
        ratios = ("-", "-")
        if base is not None:
            ratios = (
                f"x {cost.cpu_s / base.cpu_s:.1f}",
                f"x {cost.memory_bytes / base.memory_bytes:.1f}",
            )
        print(
            f"{name:26}{chunks[name]:>7}{cost.cpu_s:>9.2f}{cost.wall_s:>9.2f}{pss:>9}"
            f"{cost.rss_bytes / MB:>9.1f}{ratios[0]:>9}{ratios[1]:>9}"
        )
    print()
    print(
        "CPU: user and system seconds of the process tree. PSS, RSS: peak of the sum over the "
        f"process tree,\nsampled every {SAMPLE_EVERY_S * 1000:.0f} ms. x: times what "
        "ffmpeg takes, memory by PSS where it is known."
    )


def _print_bounds(cost: Cost, minutes: int) -> None:
    print()
    if minutes != BOUNDED_MINUTES:
        print(f"Not judged: the bounds are for {BOUNDED_MINUTES} minutes.")
        return
    kind = "RSS" if cost.pss_bytes is None else "PSS"
    cpu, memory = cost.cpu_s <= MAX_CPU_S, cost.memory_bytes <= MAX_MEMORY_BYTES
    print(f"{_verdict(cpu)}: {cost.cpu_s:.2f} CPU seconds, at most {MAX_CPU_S:.0f}")
    print(
        f"{_verdict(memory)}: {cost.memory_bytes / MB:.1f} MB ({kind}) at the peak, "
        f"at most {MAX_MEMORY_BYTES / MB:.0f}"
    )


def _verdict(met: bool) -> str:
    return "met" if met else "not met"


if __name__ == "__main__":
    main()
