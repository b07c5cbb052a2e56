"""Recordings of any length, or thousands of short ones, within seconds.

Long ones are phrases that are encoded once, in an order by lot: 128 kbit/s stereo mp3, speech-like
tones over faint noise, with a pause about every four seconds. Short ones are single tones.
No two recordings, and no two chunks of one, hold the same sound: equal chunks are sent only once.
"""

from __future__ import annotations

import random
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cloudru.tones import make_recording

BIT_RATE = 128_000
BYTES_PER_S = BIT_RATE // 8
PHRASES = 24
PHRASE_S = 3.92
"""Four seconds once the encoder has filled its last frames."""

WORDS_APART = 64
"""Phrases begin with different words."""

TONE_RATE_HZ = 8_000
TONES_A_FOLDER = 500


def one_second_tones(folder: Path, count: int) -> None:
    """So many WAV files of one second below a new folder, each of another pitch."""
    samples = np.arange(TONE_RATE_HZ)
    for index in range(count):
        path = folder / f"{index // TONES_A_FOLDER:03}" / f"{index:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = 8_000 * np.sin((0.1 + index * 1e-5) * samples)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(TONE_RATE_HZ)
            file.writeframes(tone.astype("<i2").tobytes())


class Phrases:
    """Encoded phrases, each with an encoder of its own: their frames lean on no earlier ones."""

    def __init__(self) -> None:
        self._phrases = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "phrase.mp3")
            for number in range(PHRASES):
                make_recording(
                    path,
                    duration_s=PHRASE_S,
                    noise=0.002,
                    first_word=WORDS_APART * number,
                    bit_rate=BIT_RATE,
                    write_xing=False,
                )
                self._phrases.append(path.read_bytes())

    def record(self, path: Path, duration_s: float) -> float:
        """Write a recording of about `duration_s` seconds; its exact length.

        Its content depends on its file name alone.
        """
        lot = random.Random(path.name)  # noqa: S311 - the same recording each time, no secret
        size = 0
        with path.open("wb") as file:
            while size < (duration_s - PHRASE_S / 2) * BYTES_PER_S:
                size += file.write(lot.choice(self._phrases))
        return size / BYTES_PER_S

    def folder(self, path: Path, durations_s: list[float]) -> list[float]:
        """A folder of recordings; their exact lengths. The folder's name decides their content."""
        path.mkdir()
        return [
            self.record(path / f"{path.name}-{number:04}.mp3", duration_s)
            for number, duration_s in enumerate(durations_s)
        ]
