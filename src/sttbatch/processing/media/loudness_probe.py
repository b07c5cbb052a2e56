"""Measures the levels of a few spans of a file without decoding the rest."""

from __future__ import annotations

from collections.abc import Sequence

from sttbatch.processing.media.loudness import LoudnessLevels, Span
from sttbatch.processing.media.silence import BYTES_PER_SECOND, frame_levels
from sttbatch.processing.media.track import JUMP_S, Decoder, Track

SETTLE_S = 0.3
"""Seconds decoded and dropped before each span: mp3's bit reservoir reaches that far back."""


def measure(track: Track, spans: Sequence[Span]) -> tuple[LoudnessLevels, ...]:
    """Measure `spans`, which are in order and disjoint; parts without audio are left out."""
    collected: list[LoudnessLevels] = []
    decoder = Decoder(track)
    waiting = list(reversed(spans))
    now: _SpanSamples | None = None
    for item in track.packets():
        start_s, end_s = track.seconds(item.pts), track.seconds(item.end_pts)
        while now is not None and start_s >= now.span.end_s:
            collected += now.parts()
            now = None
        while waiting and now is None and end_s >= waiting[-1].start_s - SETTLE_S:
            span = waiting.pop()
            if start_s < span.end_s:
                decoder.restart()
                now = _SpanSamples(span)
        if now is not None:
            for at_s, data in decoder.decode(item):
                now.add(at_s, data)
        elif not waiting:
            break
    if now is not None:
        collected += now.parts()
    return tuple(collected)


class _SpanSamples:
    """The samples of one span; a jump of the timestamps begins a new part."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._parts: list[tuple[float, bytearray]] = []

    def add(self, at_s: float, data: bytes) -> None:
        if at_s < self.span.start_s:
            skipped = 2 * round((self.span.start_s - at_s) * BYTES_PER_SECOND / 2)
            data, at_s = data[skipped:], self.span.start_s
        if not data:
            return
        if self._parts:
            begun_s, held = self._parts[-1]
            if abs(begun_s + len(held) / BYTES_PER_SECOND - at_s) <= JUMP_S:
                held += data
                return
        self._parts.append((at_s, bytearray(data)))

    def parts(self) -> list[LoudnessLevels]:
        return [LoudnessLevels(at_s, frame_levels(bytes(held))) for at_s, held in self._parts]
