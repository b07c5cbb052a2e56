"""SpeechWindows: the speech of an upload without its pauses, in windows for Whisper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sttbatch.core.models import Upload

if TYPE_CHECKING:
    import numpy as np
    from faster_whisper.transcribe import Segment as WhisperSegment
    from numpy.typing import NDArray

RATE_HZ = 16_000
WINDOW_S = 30
"""The rate and the length of what Whisper was trained with."""

SHORTEST_PAUSE_MS = 160
"""That of faster-whisper's pipeline: shorter ones stay in a window."""

FAINT_PEAK = 0.01
AMPLIFIED_PEAK = 0.5
"""Of full scale: audio below -40 dBFS is amplified, as the pipeline's own speech detector hears
nothing at -64 dBFS."""

Window = dict[str, float]
"""Its start and end in the speech, in seconds, as faster-whisper takes it."""


class SpeechWindows(Struct, frozen=True):
    """What faster-whisper's pipeline would make of an upload before it recognises anything.

    Attributes:
        samples: of all windows, one after another.
        spans: where speech was found in the upload, in samples.
    """

    samples: NDArray[np.float32]
    windows: tuple[Window, ...]
    spans: list[dict[str, Any]]

    def batches(self, at_once: int, most: int) -> Iterator[tuple[Window, ...]]:
        """Up to `most` windows each, and fewer at the end, so that `at_once` end together."""
        rest = self.windows
        while rest:
            size = min(most, -(-len(rest) // at_once))
            yield rest[:size]
            rest = rest[size:]

    def in_upload(self, parts: Iterable[Sequence[WhisperSegment]]) -> Iterable[WhisperSegment]:
        """The segments of all batches, by the clock of the upload."""
        from faster_whisper.transcribe import restore_speech_timestamps

        segments: Iterable[WhisperSegment] = restore_speech_timestamps(
            chain.from_iterable(parts), self.spans, RATE_HZ
        )
        return segments


def speech_windows(upload: Upload) -> SpeechWindows:
    """Decode an upload, and find the speech in it; raises what the decoder does."""
    import numpy as np
    from faster_whisper import decode_audio
    from faster_whisper.vad import VadOptions, collect_chunks, get_speech_timestamps

    with upload.open() as file:
        samples = decode_audio(file)
    peak = abs(samples).max(initial=0.0)
    if 0 < peak < FAINT_PEAK:
        samples *= AMPLIFIED_PEAK / peak
    options = VadOptions(max_speech_duration_s=WINDOW_S, min_silence_duration_ms=SHORTEST_PAUSE_MS)
    spans = get_speech_timestamps(samples, options)
    pieces, facts = collect_chunks(samples, spans, max_duration=WINDOW_S)
    if not spans:
        return SpeechWindows(samples[:0], (), spans)
    windows = tuple(_window(each["offset"], each["duration"]) for each in facts)
    return SpeechWindows(np.concatenate(pieces), windows, spans)


def _window(start_s: float, duration_s: float) -> Window:
    # faster-whisper rounds down to a sample: half a sample keeps it the one that is meant.
    half_s = 0.5 / RATE_HZ
    return {"start": start_s + half_s, "end": start_s + duration_s + half_s}
