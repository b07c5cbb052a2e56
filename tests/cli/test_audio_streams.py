"""Several audio streams in one file: which is transcribed, and what is said of the others."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.cloudru import HeardWord, make_recording
from tests.shell import Shell, texts, words_of

RATE_HZ = 16_000


def make_film(path: Path, *speakers: int | None, default: int) -> dict[int, list[HeardWord]]:
    """A track for each: words from a number on, or silence (None); the words of each."""
    truths: dict[int, list[HeardWord]] = {}
    with av.open(str(path), "w", format="matroska") as container:
        streams, sounds = [], []
        for index, first_word in enumerate(speakers):
            samples = np.zeros(6 * RATE_HZ, np.int16)
            if first_word is not None:
                alone = path.with_suffix(".wav")
                truths[index] = make_recording(
                    alone, duration_s=6.0, channels=1, sample_rate=RATE_HZ, first_word=first_word
                )
                with av.open(str(alone)) as source:
                    samples = np.concatenate([f.to_ndarray()[0] for f in source.decode(audio=0)])
                alone.unlink()
            stream = container.add_stream("flac", rate=RATE_HZ)
            assert isinstance(stream, av.AudioStream)
            stream.layout = "mono"
            stream.disposition = av.stream.Disposition(int(index == default))
            streams.append(stream)
            sounds.append(samples)
        for at in range(0, 6 * RATE_HZ, 4096):
            for stream, samples in zip(streams, sounds, strict=True):
                block = samples[at : at + 4096].reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return truths


@pytest.mark.parametrize(
    ("speakers", "default", "chosen", "note"),
    [
        ((None, 0), 0, 1, "its audio stream 1 is transcribed (--audio-stream"),
        ((0, 500), 1, 1, "its audio stream 1 is transcribed; sound is on 0 too"),
        ((0, 500), 0, 0, "its audio stream 0 is transcribed; sound is on 1 too"),
        ((0, None), 1, 0, None),
    ],
)
def test_the_stream_with_sound_is_transcribed(
    speakers: tuple[int | None, ...],
    default: int,
    chosen: int,
    note: str | None,
    shell: Shell,
    folder: Path,
) -> None:
    truths = make_film(folder / "film.mkv", *speakers, default=default)
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert words_of(folder / "film.json") == texts(truths[chosen])
    assert (note or "audio-stream") in result.err if note else "audio-stream" not in result.err
    assert shell.endpoint is not None
    sent = len(shell.endpoint.received)
    again = shell.transcribe(folder)
    assert again.code == 0, again.err
    assert len(shell.endpoint.received) == sent
    if 1 - chosen in truths:
        other = shell.transcribe(folder, "--audio-stream", str(1 - chosen))
        assert other.code == 0, other.err
        assert words_of(folder / "film.json") == texts(truths[1 - chosen])
