"""Detection of silence by pydub, in a small window around a cut and in whole chunks."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

from sttbatch.processing.media.loudness import FRAME_S

with warnings.catch_warnings():
    # pydub warns about a missing ffmpeg program, which is not used here, and imports audioop.
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
"""Shorter pauses occur within words: stop consonants are silent for up to 200 ms."""

BELOW_WINDOW_DB = 16.0
"""Silence is at least this far below the window's own level, as pydub's documentation advises."""

BEFORE_WORD_MS = 80
"""Minimum silence before the next word, for soft onsets and cuts that are moved by a packet."""

STEP_MS = 10
QUIETEST_MS = 60
"""Length of the quietest span that is searched for without silence: a gap between words."""

DIGITAL_SILENCE_PEAK = 3
"""Out of 32768; what stays below it is rounding and dither."""


class CutOffset(NamedTuple):
    """A cut in seconds from the window's start; `silent`: it is in silence."""

    offset_s: float
    silent: bool


def find_cut(pcm: bytes, lead_s: float = 0.0) -> CutOffset:
    """Choose where to cut a window of mono s16 samples at 16 kHz.

    The cut is in the middle of the longest silence (the later one of equal ones), or later if the
    next chunk includes `lead_s` seconds before it, so that they contain no end of a word. Without
    silence it is in the middle of the quietest 60 ms.
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


def peak(pcm: bytes) -> int:
    """The largest sample of mono s16, out of 32768."""
    return int(audioop.max(pcm, 2))


def amplified(pcm: bytes, factor: float) -> bytes:
    """Mono s16 samples, each multiplied by a factor."""
    return bytes(audioop.mul(pcm, 2, factor))


def is_digital_silence(pcm: bytes) -> bool:
    """Whether mono s16 samples hold nothing but rounding."""
    return peak(pcm) < DIGITAL_SILENCE_PEAK
