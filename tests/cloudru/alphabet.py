"""The language of the test recordings: words of four hexadecimal digits, each digit a tone.

A recogniser for it needs no model, is exact to a few milliseconds, and tells apart a word that was
heard whole from one that was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

DIGITS_PER_WORD = 4
DIGIT_S = 0.09
WORD_S = DIGITS_PER_WORD * DIGIT_S
# 180 Hz apart: a Hann window of 12 ms has its first null 167 Hz away (2 / 0.012), so a tone leaves
# nothing in its neighbours' bins. All of them fit a telephone's 300 to 3400 Hz.
FREQUENCIES_HZ = tuple(500 + 180 * digit for digit in range(16))
# Raised-cosine edges: without them each digit begins with a click across the whole spectrum.
EDGE_S = 0.004
AMPLITUDE = 0.4


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word and where it lies, in seconds from the first sample of the recording.

    `text` is four hexadecimal digits ("00a3"); a `~` marks the side on which a fragment was cut
    off ("~a3", "a3~", and "~a3~" when it is unknown which), `?` a digit that was no clear tone.
    """

    text: str
    start_s: float
    end_s: float

    @property
    def whole(self) -> bool:
        """Whether all of the word was heard."""
        return "~" not in self.text and "?" not in self.text


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recogniser heard in one file: its words in order and how long it really plays."""

    words: tuple[HeardWord, ...]
    duration_s: float
    has_video: bool = False
    language: str = "en"


class NotAudioError(ValueError):
    """The bytes hold no sound that can be decoded."""


def word_text(index: int) -> str:
    """The word with this index: lower-case hexadecimal, wrapping after ffff."""
    return f"{index % 16**DIGITS_PER_WORD:0{DIGITS_PER_WORD}x}"


def word_samples(text: str, sample_rate: int) -> Samples:
    """The sound of a whole word: mono float32 in -1..1, `WORD_S` long, shape (samples,)."""
    # Rounding the boundaries, not the lengths, keeps a word's length right at rates where a digit
    # is no whole number of samples (90 ms is 992.25 of them at 11,025 Hz).
    edges = [round(sample_rate * DIGIT_S * place) for place in range(DIGITS_PER_WORD + 1)]
    digits = (
        _digit_samples(int(digit, 16), after - before, sample_rate)
        for digit, before, after in zip(text, edges[:-1], edges[1:], strict=True)
    )
    return np.concatenate(list(digits))


@cache
def _digit_samples(digit: int, length: int, sample_rate: int) -> Samples:
    time_s = np.arange(length) / sample_rate
    tone = AMPLITUDE * np.sin(2 * np.pi * FREQUENCIES_HZ[digit] * time_s)
    ramp = 0.5 - 0.5 * np.cos(
        np.pi * np.arange(round(EDGE_S * sample_rate)) / (EDGE_S * sample_rate)
    )
    tone[: len(ramp)] *= ramp
    tone[length - len(ramp) :] *= ramp[::-1]
    return tone.astype(np.float32)
