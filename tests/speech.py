"""Recordings with speech at known times: parts of the spoken fixtures, melodies, noise."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sttbatch.core.models import Segment
from sttbatch.kinds.evaluation.spoken_words import spoken_words
from sttbatch.kinds.evaluation.word_errors import compare

SPOKEN = Path(__file__).parents[1] / "fixtures" / "speech"
RATE_HZ = 16_000

Samples = NDArray[np.float64]
"""Mono, 1.0 being full scale."""

WORD_ERRORS_LIMIT = 0.10
"""Of the words of a spoken fixture, so many may be wrong."""

NOTES_HZ = (262, 330, 392, 523, 440, 349, 294, 392)


def word_error_rate(said: str, found: str) -> float:
    """Wrong words by words that were said, as `sttbatch eval` counts them."""
    texts = (spoken_words([Segment(text, 0.0, 0.0)], None) for text in (said, found))
    rate = compare(*texts).counts.wer
    assert rate is not None
    return rate


def spoken(seconds: float, name: str = "bread.flac") -> Samples:
    """The beginning of a fixture, in which somebody reads after half a second of silence."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    with av.open(str(SPOKEN / name)) as container:
        parts = [
            part.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    samples = np.concatenate(parts)[: round(seconds * RATE_HZ)] / 32768
    assert len(samples) == round(seconds * RATE_HZ)
    return samples.astype(np.float64)


def melody(seconds: float) -> Samples:
    """Notes of a quarter of a second, as of an organ."""
    at_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch = np.array(NOTES_HZ)[(at_s / 0.25).astype(int) % len(NOTES_HZ)]
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    tone: Samples = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    return 0.2 * tone


def noise(seconds: float, level: float) -> Samples:
    """White noise of a standard deviation."""
    return np.random.default_rng(3).normal(0, level, round(seconds * RATE_HZ))


def at_peak(samples: Samples, dbfs: float) -> Samples:
    scaled: Samples = samples / np.abs(samples).max() * 10 ** (dbfs / 20)
    return scaled


def write(path: Path, *parts: Samples) -> None:
    """Write parts one after another as a mono WAV of 16 bits."""
    write_channels(path, np.concatenate(parts))


def write_channels(path: Path, *channels: Samples) -> None:
    """Write channels, all of one length, as a WAV of 16 bits."""
    samples = np.clip(np.stack(channels, axis=1), -1, 1 - 1 / 32768)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.round(samples * 32768).astype(np.int16).tobytes())
