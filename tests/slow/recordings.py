"""Recordings whose words are tones, which are known exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from sttbatch.processing.media.opening import FORMATS
from tests.cloudru import HeardWord
from tests.cloudru.alphabet import WORD_S, word_samples, word_text
from tests.encoding import Samples16, encode

LENGTH_S = 15.0
WITHIN_S = 0.2

BIT_RATES = {"wmav1": 64_000, "wmav2": 64_000, "g723_1": 6_300}
"""Of encoders without a default, in bit/s."""


@dataclass(frozen=True, slots=True)
class Made:
    """A recording and its words.

    Attributes:
        after_s: words before it are not compared, as they are spoken language.
        border: words that may be there or not.
        times: whether times are compared.
        is_read: otherwise it may be named instead.
    """

    path: Path
    words: list[HeardWord]
    after_s: float = 0.0
    border: frozenset[str] = frozenset()
    times: bool = True
    is_read: bool = True


def say(
    rate: int, first_word: int, length_s: float = LENGTH_S
) -> tuple[Samples16, list[HeardWord]]:
    """Words from a number on, with a pause after each eighth, at 12 % of full scale."""
    samples = np.zeros(round(length_s * rate), np.float32)
    words: list[HeardWord] = []
    at_s = 0.3
    while at_s + WORD_S + 0.2 < length_s:
        text = word_text(first_word + len(words))
        tones = word_samples(text, rate)
        start = round(at_s * rate)
        samples[start : start + len(tones)] = tones
        words.append(HeardWord(text, at_s, at_s + WORD_S))
        at_s += WORD_S + (0.1 if len(words) % 8 else 0.6)
    return np.round(0.9 * samples * 32767).astype(np.int16), words


class Studio:
    """Makes recordings in a folder; none has a word of another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.first_word = 0
        folder.mkdir()

    def said(self, rate: int, length_s: float = LENGTH_S) -> tuple[Samples16, list[HeardWord]]:
        samples, words = say(rate, self.first_word, length_s)
        self.first_word += len(words)
        return samples, words

    def write(
        self, name: str, muxer: str, codec: str, samples: Samples16, rate: int,
        words: list[HeardWord],
    ) -> Made:  # fmt: skip
        path = self.folder / f"{name}.{ending(muxer)}"
        encode(path, samples, codec, rate, muxer=muxer, bit_rate=BIT_RATES.get(codec))
        return Made(path, words)

    def store(self, name: str, muxer: str, data: bytes) -> Path:
        path = self.folder / f"{name}.{ending(muxer)}"
        path.write_bytes(data)
        return path


def ending(muxer: str) -> str:
    extensions = av.format.ContainerFormat(muxer, "w").extensions
    return min(extensions, key=lambda each: (len(each), each)) if extensions else muxer


def is_known(path: Path) -> bool:
    """Whether libavformat recognises a format that is read here."""
    try:
        with av.open(str(path)) as container:
            names = set(container.format.name.split(","))
            return bool(names & set(FORMATS.split(",")))
    except (av.FFmpegError, ValueError):
        return False
