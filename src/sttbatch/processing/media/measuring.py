"""Loudness of parts of a track, and the speech on each of its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from sttbatch.core.models import MIXED
from sttbatch.processing.media.decoder import Decoder
from sttbatch.processing.media.loudness import LoudnessLevels, Span
from sttbatch.processing.media.media_messages import Voice
from sttbatch.processing.media.packet_clock import JUMP_S
from sttbatch.processing.media.silence import SAMPLE_RATE, audioop, frame_levels
from sttbatch.processing.media.speech import detector
from sttbatch.processing.media.track import Track

PREROLL_S = 0.3
"""Seconds decoded and dropped before each span: mp3's bit reservoir reaches that far back."""

_MOST_BYTES = 64 << 20
"""Maximum size of the samples that are searched at once; two channels have 17 minutes."""

_DROWNED = 2.0
"""Speech that another channel exceeds by this factor (6 dB) may be lost in the mix."""


def levels(track: Track, spans: Sequence[Span]) -> tuple[LoudnessLevels, ...]:
    """The loudness of the mix in `spans`, which are in order and disjoint."""
    decoder = Decoder(track)
    return tuple(
        LoudnessLevels(at_s, frame_levels(pcm))
        for at_s, pcm in _samples(track, decoder, spans, decoder.mixer.mix, 2)
    )


def voices(track: Track, spans: Sequence[Span]) -> tuple[Voice, ...]:
    """The speech in `spans`, which are in order and disjoint.

    Each channel is judged by itself, so that no other can cancel or drown it; channels that are
    equal are judged once.
    """
    found: list[Voice] = []
    if not spans:
        return ()
    decoder = Decoder(track)
    frame_bytes = 2 * decoder.mixer.count
    track.seek(spans[0].start_s - PREROLL_S)
    for at_s, samples in _samples(track, decoder, spans, bytes, frame_bytes):
        channels = dict(zip(decoder.mixer.numbers, decoder.mixer.channels(samples), strict=True))
        distinct = {pcm: number for number, pcm in reversed(channels.items())}
        for pcm, number in distinct.items():
            for span in detector.spans(pcm, at_s):
                is_drowned = _is_drowned(span, at_s, pcm, distinct)
                found.append(Voice(span, number if is_drowned else MIXED))
    return tuple(found)


def _is_drowned(span: Span, at_s: float, pcm: bytes, others: Iterable[bytes]) -> bool:
    low, high = (2 * round((each - at_s) * SAMPLE_RATE) for each in span)
    level = audioop.rms(pcm[low:high], 2)
    return any(audioop.rms(other[low:high], 2) > _DROWNED * level for other in others)


def _samples(
    track: Track,
    decoder: Decoder,
    spans: Sequence[Span],
    arranged: Callable[[bytes], bytes],
    frame_bytes: int,
) -> Iterator[tuple[float, bytes]]:
    """The samples of `spans`, and their starting times, without empty parts."""
    waiting = list(reversed(spans))
    now: _SpanSamples | None = None
    for item in track.packets():
        start_s, end_s = track.seconds(item.pts), track.seconds(item.end_pts)
        while now is not None and start_s >= now.span.end_s:
            yield from now.parts()
            now = None
        while waiting and now is None and end_s >= waiting[-1].start_s - PREROLL_S:
            span = waiting.pop()
            if start_s < span.end_s:
                decoder.restart()
                now = _SpanSamples(span, frame_bytes)
        if now is not None:
            for at_s, data in decoder.decode(item):
                now.add(at_s, arranged(data))
            if now.size_bytes > _MOST_BYTES:
                yield from now.parts()
        elif not waiting:
            break
    if now is not None:
        yield from now.parts()


class _SpanSamples:
    """The samples of one span; a jump of the timestamps begins a new part."""

    def __init__(self, span: Span, frame_bytes: int) -> None:
        self.span = span
        self.size_bytes = 0
        self._frame_bytes = frame_bytes
        self._parts: list[tuple[float, bytearray]] = []

    def add(self, at_s: float, data: bytes) -> None:
        if at_s < self.span.start_s:
            skipped = self._frame_bytes * round((self.span.start_s - at_s) * SAMPLE_RATE)
            data, at_s = data[skipped:], self.span.start_s
        if not data:
            return
        self.size_bytes += len(data)
        if self._parts:
            begun_s, held = self._parts[-1]
            held_s = len(held) / self._frame_bytes / SAMPLE_RATE
            if abs(begun_s + held_s - at_s) <= JUMP_S:
                held += data
                return
        self._parts.append((at_s, bytearray(data)))

    def parts(self) -> list[tuple[float, bytes]]:
        """The samples so far, which are dropped."""
        parts, self._parts, self.size_bytes = self._parts, [], 0
        return [(at_s, bytes(held)) for at_s, held in parts]
