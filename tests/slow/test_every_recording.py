"""Every recording that people may have: each word once and at its time, or the file is named."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.cloudru import CloudRu, Heard, HeardWord, hear
from tests.encoding import encode
from tests.shell import Result, Shell, load
from tests.speech import RATE_HZ

from .pairs import pairs
from .recordings import WITHIN_S, Made, Studio
from .shapes import SPOKEN_S, shapes

AT_LEAST = 200
QUIET_PEAK = 1_200
"""Of 32768: -28.7 dBFS, above the quiet ones and below all others."""

SPOKEN = "ffff"

WITHIN_S_OF_RUN = 540.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * WITHIN_S_OF_RUN)]


@pytest.fixture
def endpoint() -> Iterator[CloudRu]:
    with CloudRu() as running:
        yield running


def hear_at_any_level(data: bytes) -> Heard:
    """A recogniser that hears quiet tones, and spoken language before them as one word."""
    samples = _decoded(data)
    peak = float(np.abs(samples).max(initial=0.0))
    if not 0 < peak < QUIET_PEAK:
        return hear(data)
    target = io.BytesIO()
    louder = np.round(samples / peak * 16_000).astype(np.int16)
    encode(target, louder, "pcm_s16le", RATE_HZ, muxer="wav")
    heard = hear(target.getvalue())
    words = tuple(word for word in heard.words if word.whole)
    if not words or words[0].start_s > SPOKEN_S:
        words = (HeardWord(SPOKEN, 0.3, SPOKEN_S), *words)
    return Heard(words, heard.duration_s)


def _decoded(data: bytes) -> NDArray[np.float64]:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    parts = [np.zeros(0)]
    with av.open(io.BytesIO(data), "r") as container:
        for packet in container.demux(container.streams.audio[0]):
            # A damaged packet costs its own samples only.
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts)


def transcribe(shell: Shell, *arguments: str | Path) -> Result:
    process = shell.start("transcribe", *arguments, "-f", "json", "--words", "-j", "4")
    return shell.finish(process)


def fault(made: Made) -> str | None:
    """What is wrong with the transcript of a recording."""
    path = made.path.with_suffix(".json")
    if not path.exists():
        return "no transcript"
    document = load(path)
    found = [word for segment in document["segments"] for word in segment["words"]]
    found = [word for word in found if word["start"] >= made.after_s and _counts(word, made)]
    if [word["word"] for word in found] != [word.text for word in made.words]:
        return f"{len(found)} of {len(made.words)} words: {[word['word'] for word in found]}"
    shift_s = 0.0 if made.times else found[0]["start"] - made.words[0].start_s
    late_s = max(
        max(abs(one["start"] - shift_s - two.start_s), abs(one["end"] - shift_s - two.end_s))
        for one, two in zip(found, made.words, strict=True)
    )
    if late_s > WITHIN_S and made.times:
        return f"{late_s:.2f} s from where it was said"
    return None


def moved(made: Made, folder: Path) -> Made:
    folder.mkdir(exist_ok=True)
    return replace(made, path=made.path.rename(folder / made.path.name))


def found_faults(every: list[Made]) -> dict[str, str]:
    return {made.path.name: wrong for made in every if (wrong := fault(made)) is not None}


def _counts(word: dict[str, Any], made: Made) -> bool:
    text = word["word"]
    is_whole = "~" not in text and "?" not in text
    return text not in made.border and (is_whole or not made.border)


def test_every_word_is_there_once_or_the_recording_is_named(
    tmp_path: Path, shell: Shell, endpoint: CloudRu
) -> None:
    shell.endpoint = endpoint
    endpoint.recognise = hear_at_any_level
    studio = Studio(tmp_path / "recordings")
    every = [*pairs(studio), *shapes(studio)]
    good = [made for made in every if made.is_read]
    others = [moved(made, tmp_path / "others") for made in every if not made.is_read]
    assert len(good) >= AT_LEAST
    result = transcribe(shell, studio.folder, "--chunk-duration", "10")
    assert found_faults(good) == {}, result.err
    assert result.code == 0, result.err

    result = transcribe(shell, *(made.path for made in others))
    assert result.code == 1
    unnamed = [made for made in others if f"{made.path.name}: failed: " not in result.err]
    assert found_faults(unnamed) == {}, result.err
