"""Recordings of calls: each channel says words of its own."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.cloudru import HeardWord, make_recording

RATE_HZ = 16_000


def make_call(
    path: Path, *speakers: dict[str, Any] | None, codec: str | None = None
) -> list[list[HeardWord]]:
    """Write a recording with a channel for each speaker; the words of each.

    Args:
        speakers: `make_recording`'s arguments; None: a channel that is silent throughout.
        codec: ffmpeg's name of the encoder; by the file ending if None.
    """
    truths, channels = [], []
    for number, how in enumerate(speakers):
        alone = path.with_name(f".{path.name}.{number}.wav")
        settings = {"first_word": 1000 * number, **(how or {"duration_s": 1.0, "word_gap_s": 9.0})}
        truth = make_recording(alone, channels=1, sample_rate=RATE_HZ, **settings)
        truths.append(truth if how else [])
        with av.open(str(alone)) as container:
            samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
        channels.append(samples if how else np.zeros(1, np.int16))
        alone.unlink()
    length = max(map(len, channels))
    together = np.stack([np.pad(each, (0, length - len(each))) for each in channels], axis=1)
    _write(path, together, codec)
    return truths


def _write(path: Path, samples: NDArray[np.int16], codec: str | None) -> None:
    count = samples.shape[1]
    layout = {1: "mono", 2: "stereo", 3: "2.1", 16: "hexadecagonal"}[count]
    name = codec or {".mp3": "libmp3lame", ".flac": "flac"}.get(path.suffix, "pcm_s16le")
    options = {"joint_stereo": "0"} if name == "libmp3lame" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(name, rate=RATE_HZ, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        for at in range(0, len(samples), RATE_HZ):
            block = np.ascontiguousarray(samples[at : at + RATE_HZ]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
