"""Detection of silence, with pydub, in a small window around a cut and in whole chunks."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

from sttbatch.processing.media.loudness import FRAME_S

with warnings.catch_warnings():
    # pydub looks for an ffmpeg program, which is never used here, and imports audioop.
    warnings.simplefilter("ignore", RuntimeWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    from pydub import AudioSegment
    from pydub.silence import detect_silence
    from pydub.utils import audioop as audioop  # noqa: PLC0414 - mixing uses it too

SAMPLE_RATE = 16_000
"""Hz: the rate of Whisper's input; windows and encoded chunks are mono s16 at this rate."""

BYTES_PER_SECOND = 2 * SAMPLE_RATE
FRAME_BYTES = int(FRAME_S * BYTES_PER_SECOND)

MIN_SILENCE_MS = 300
"""Shorter pauses occur within words: stop consonants close the mouth for up to 200 ms."""

BELOW_WINDOW_DB = 16.0
"""Silence is at least this far below the window's own level, as pydub's documentation advises."""

BEFORE_WORD_MS = 80
"""At least this much silence stays in front of the next word: soft onsets, and a packet's length
that a cut may be moved by."""

STEP_MS = 10
QUIETEST_MS = 60
"""Length of the quietest span that is searched for without silence: a gap between words."""

DIGITAL_SILENCE_PEAK = 33
"""A peak of -60 dBFS, out of 32768: a lower one leaves five bits, which no speech has."""


class CutOffset(NamedTuple):
    """A cut in seconds from the window's start; `silent`: it falls into silence."""

    offset_s: float
    silent: bool


def find_cut(pcm: bytes, lead_s: float = 0.0) -> CutOffset:
    """Choose where to cut a window of mono s16 samples at 16 kHz.

    It falls into the longest silence, the later one of two alike: into its middle, or later if the
    next chunk includes `lead_s` seconds in front, so that they hold no end of a word. Without any
    silence it falls into the middle of the quietest 60 ms.
    """
    window = AudioSegment(data=pcm, sample_width=2, frame_rate=SAMPLE_RATE, channels=1)
    if window.max < DIGITAL_SILENCE_PEAK:
        return CutOffset(len(window) / 1000, silent=True)
    silences: list[list[int]] = detect_silence(
        window, MIN_SILENCE_MS, window.dBFS - BELOW_WINDOW_DB, seek_step=STEP_MS
    )
    if silences:
        start, end = max(silences, key=lambda silence: (silence[1] - silence[0], silence[1]))
        late_ms = min(start + 1000 * lead_s, end - BEFORE_WORD_MS)
        return CutOffset(max((start + end) / 2, late_ms) / 1000, silent=True)
    starts = range(0, max(1, len(window) - QUIETEST_MS), STEP_MS)
    quietest = min(starts, key=lambda at: (window[at : at + QUIETEST_MS].rms, -at))
    return CutOffset((quietest + QUIETEST_MS / 2) / 1000, silent=False)


def frame_levels(pcm: bytes) -> bytes:
    """The RMS of each 20 ms of mono s16 at 16 kHz, in dB below full scale, at most 120."""
    return bytes(
        _below_full_scale(audioop.rms(pcm[at : at + FRAME_BYTES], 2))
        for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)
    )


def _below_full_scale(rms: int) -> int:
    return min(120, round(-20 * math.log10(rms / 32768))) if rms else 120


def is_digital_silence(pcm: bytes) -> bool:
    """Whether no sample of mono s16 reaches -60 dBFS."""
    return bool(audioop.max(pcm, 2) < DIGITAL_SILENCE_PEAK)
