"""Word errors of the embedded engine beside the whole file and beside faster-whisper's pipeline.

    python benchmarks/fidelity.py [--chunks 28 300]

Long readings are made from the texts of the fixtures, spoken by Debian's flite: one voice, two
voices in turn, two voices with music between their paragraphs. The same weights transcribe each
one: whole and in sequence, by the batched pipeline, and by sttbatch with chunks of several lengths.
Whole processes, in turn; word errors as `sttbatch eval` counts them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.claims import Claim, print_claims
from benchmarks.readings import make_reading, ours, pipeline, silence
from tests.speech import melody, word_error_rate

READINGS = {
    "one voice": (("slt",), silence(0.5)),
    "two voices": (("slt", "rms"), silence(0.5)),
    "music between": (("slt", "rms"), melody(6.0)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", type=float, nargs="+", default=[28.0, 120.0, 300.0])
    options = parser.parse_args()
    errors: dict[str, list[float]] = {}
    wall_s: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="fidelity-") as name:
        folder = Path(name)
        for number, (voices, between) in enumerate(READINGS.values()):
            path = folder / f"{number}.wav"
            words = make_reading(path, voices, between)
            answers = {
                f"faster-whisper, {way}": pipeline(path, way) for way in ("whole", "batched")
            }
            for chunk_s in options.chunks:
                home = folder / f"{number}-{chunk_s:g}"
                answers[f"sttbatch, chunks of {chunk_s:g} s"] = ours(
                    path, home, "--chunk-duration", f"{chunk_s:g}"
                )
            for way, (cost, text) in answers.items():
                errors.setdefault(way, []).append(word_error_rate(words, text))
                wall_s.setdefault(way, []).append(cost.wall_s)
    claims = [
        Claim(
            way,
            100 * mean(found),
            None,
            ", ".join(f"{100 * each:.2f} %" for each in found) + f"; {sum(wall_s[way]):.0f} s",
            unit="%",
        )
        for way, found in errors.items()
    ]
    best, ours_now = "faster-whisper, batched", f"sttbatch, chunks of {options.chunks[-1]:g} s"
    claims += [
        Claim(
            "word errors", mean(errors[ours_now]) / mean(errors[best]), 1.0, f"{ours_now} / {best}"
        ),
        Claim("time", sum(wall_s[ours_now]) / sum(wall_s[best]), 1.1, "whole processes"),
    ]
    print_claims(f"word errors of {', '.join(READINGS)}", claims)


if __name__ == "__main__":
    main()
