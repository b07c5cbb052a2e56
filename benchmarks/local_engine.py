"""Ten minutes of speech: the embedded engine beside faster-whisper's own batched pipeline.

    python benchmarks/local_engine.py [--runs 5]

A reading by two voices, made of the fixtures' texts as that of `fidelity.py`, is transcribed by
whole processes in turn: by sttbatch, which cuts it, looks for gaps and stores what it finds, and by
a few lines of Python around the pipeline, as its README has them. Both have the same weights, and
no result of an earlier run. Ten runs on two idle cores take three minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import MB, Cost, typical
from benchmarks.readings import make_reading, ours, pipeline, silence
from tests.speech import word_error_rate

VOICES, PAUSE_S, ROUNDS = ("slt", "rms"), 1.0, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="of each, of which the median")
    runs = parser.parse_args().runs
    costs: dict[str, list[Cost]] = {"sttbatch": [], "faster-whisper": []}
    errors: dict[str, list[float]] = {"sttbatch": [], "faster-whisper": []}
    with tempfile.TemporaryDirectory(prefix="local-engine-") as name:
        folder = Path(name)
        reading = folder / "reading.wav"
        words = make_reading(reading, VOICES, silence(PAUSE_S), ROUNDS)
        for number in range(runs):
            transcribed = {
                "sttbatch": ours(reading, folder / f"home-{number}"),
                "faster-whisper": pipeline(reading, "batched"),
            }
            for way, (cost, text) in transcribed.items():
                costs[way].append(cost)
                errors[way].append(word_error_rate(words, text))
    mine, theirs = (typical(costs[way]) for way in costs)
    wrong, wrong_there = (100 * median(errors[way]) for way in costs)
    print_claims(
        f"the embedded engine beside faster-whisper's batched pipeline, medians of {runs}",
        [
            Claim("time", mine.wall_s / theirs.wall_s, 1.0, _each(mine.wall_s, theirs.wall_s, "s")),
            Claim("word errors", wrong / wrong_there, 1.0, _each(wrong, wrong_there, "%")),
            Claim(
                "CPU time", mine.cpu_s / theirs.cpu_s, None, _each(mine.cpu_s, theirs.cpu_s, "s")
            ),
            Claim(
                "memory",
                mine.memory_bytes / theirs.memory_bytes,
                None,
                _each(mine.memory_bytes / MB, theirs.memory_bytes / MB, "MB"),
            ),
        ],
    )


def _each(ours: float, theirs: float, unit: str) -> str:
    return f"{ours:.2f} {unit} / {theirs:.2f} {unit}"


if __name__ == "__main__":
    main()
