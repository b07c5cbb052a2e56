"""Mixing of channels to one, so that none is lost."""

from __future__ import annotations

from collections.abc import Iterator

from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout

from sttbatch.processing.media.silence import SAMPLE_RATE, audioop

_BLOCK_SAMPLES = SAMPLE_RATE // 10
"""Polarity is decided for each tenth of a second."""

_CANCELLED = 4
"""A sum this many times (12 dB) below that of uncorrelated parts has cancelled; with a voice on one
of two channels it is 3 dB below."""

_WEIGHTS = {"FL": 0.7071, "FR": 0.7071, "FC": 1.0, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.5
"""ITU-R BS.775, annex 4: mono from 5.1, without the low-frequency effects."""


_WITHOUT_LAYOUT = ("shorten", "tta")
"""Codecs that store the number of channels only; libavcodec assumes loudspeakers (3 are 2.1)."""


def declared_layout(context: AudioCodecContext) -> AudioLayout:
    """The layout that a stream declares; else one of channels without loudspeakers."""
    count = context.layout.nb_channels
    if context.codec.canonical_name in _WITHOUT_LAYOUT and count > 2:
        return AudioLayout(f"{count} channels")
    return context.layout


def is_cinema(layout: AudioLayout) -> bool:
    """Whether a layout assigns channels to loudspeakers; those of recorders do not."""
    return not any(name in layout.name for name in ("channels", "ambisonic"))


class Mixer:
    """Separates or mixes the channels of interleaved s16 samples at 16 kHz.

    A channel of inverted polarity (a balanced line with swapped wires) is inverted where the mix
    would cancel.

    Attributes:
        count: number of channels.
        numbers: those of the channels in the mix, counted from 1.
    """

    def __init__(self, layout: AudioLayout) -> None:
        self.count = layout.nb_channels
        weights = [1.0] * self.count
        if self.count > 2 and is_cinema(layout):
            weights = [_WEIGHTS.get(channel.name, _SURROUND) for channel in layout.channels]
        self.numbers = [number for number, weight in enumerate(weights, 1) if weight]
        total = sum(weights) or 1.0
        self._weights = [weight / total for weight in weights]

    def channels(self, pcm: bytes) -> list[bytes]:
        """The samples of each channel in the mix."""
        if self.count == 1:
            return [pcm]
        samples = memoryview(pcm).cast("h")
        return [
            samples[index :: self.count].tobytes()
            for index, weight in enumerate(self._weights)
            if weight
        ]

    def mix(self, pcm: bytes | memoryview) -> bytes:
        return b"".join(self.blocks(pcm))

    def blocks(self, pcm: bytes | memoryview) -> Iterator[bytes]:
        """Yield the mix in short blocks."""
        size = 2 * self.count * _BLOCK_SAMPLES
        for at in range(0, len(pcm), size):
            block = bytes(pcm[at : at + size])
            if self.count == 1:
                yield block
            elif self.count == 2:
                yield _mix_two(block)
            else:
                yield self._mix_many(block)

    def cancels(self, pcm: bytes) -> bool:
        """Whether two channels cancel in a plain mix."""
        if self.count != 2:
            return False
        return _is_cancelled(audioop.rms(audioop.tomono(pcm, 2, 0.5, 0.5), 2), audioop.rms(pcm, 2))

    def _mix_many(self, block: bytes) -> bytes:
        # In 32 bits: a sixteenth of a quiet voice would be a handful of steps in 16.
        total = b"\0" * (2 * len(block) // self.count)
        for channel, weight in zip(self.channels(block), filter(None, self._weights), strict=True):
            part = audioop.mul(audioop.lin2lin(channel, 2, 4), 4, weight)
            added = audioop.add(total, part, 4)
            parts = (audioop.rms(total, 4) ** 2 + audioop.rms(part, 4) ** 2) ** 0.5
            if _is_cancelled(audioop.rms(added, 4), parts):
                added = audioop.add(total, audioop.mul(part, 4, -1.0), 4)
            total = added
        mixed: bytes = audioop.lin2lin(total, 4, 2)
        return mixed


def _mix_two(block: bytes) -> bytes:
    # The mean square of both channels is that of half their sum and half their difference.
    mixed: bytes = audioop.tomono(block, 2, 0.5, 0.5)
    if _is_cancelled(audioop.rms(mixed, 2), audioop.rms(block, 2)):
        mixed = audioop.tomono(block, 2, 0.5, -0.5)
    return mixed


def _is_cancelled(level: float, parts: float) -> bool:
    return level * _CANCELLED < parts


def repeated(mono: bytes, count: int) -> bytes:
    """The same samples on each of `count` channels, interleaved."""
    if count == 1:
        return mono
    result = bytearray(count * len(mono))
    source = memoryview(mono).cast("h")
    target = memoryview(result).cast("h")
    for index in range(count):
        target[index::count] = source
    return bytes(result)
