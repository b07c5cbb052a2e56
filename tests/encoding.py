"""Samples encoded in any codec and container that PyAV can write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

Samples16 = NDArray[np.int16]
"""Of one channel, or of frames by channels."""

_BLOCK = 4096


def layout_of(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def encode(
    target: Path | Any,
    samples: Samples16 | Sequence[Samples16],
    codec: str,
    rate: int,
    *,
    muxer: str | None = None,
    coded_rate: int | None = None,
    layout: str | None = None,
    bit_rate: int | None = None,
    options: Mapping[str, str] | None = None,
    default: int | None = None,
) -> None:
    """Write one track of samples of `rate` Hz, or several, to a path or a file object."""
    tracks = samples if isinstance(samples, list | tuple) else [samples]
    output = str(target) if isinstance(target, Path) else target
    with av.open(output, "w", format=muxer, options=dict(options or {})) as container:
        streams = []
        for index, track in enumerate(tracks):
            stream = container.add_stream(codec, rate=coded_rate or rate)
            assert isinstance(stream, AudioStream)
            stream.layout = layout or _layout(track)
            context = stream.codec_context
            formats = [each.name for each in context.codec.audio_formats or ()]
            if formats:
                stream.format = next(
                    (name for name in ("s16", "s16p") if name in formats), formats[0]
                )
            if bit_rate is not None:
                stream.bit_rate = bit_rate
            context.options = {"strict": "experimental"}
            if default is not None:
                stream.disposition = av.stream.Disposition(int(index == default))
            streams.append(stream)
        for packets in zip_longest(
            *(_packets(track, rate, stream) for track, stream in zip(tracks, streams, strict=True)),
            fillvalue=(),
        ):
            for each in packets:
                container.mux(each)


def _layout(samples: Samples16) -> str:
    return layout_of(1 if samples.ndim == 1 else samples.shape[1])


def _packets(
    samples: Samples16, rate: int, stream: AudioStream
) -> Iterator[Sequence[Packet[AudioStream]]]:
    context = stream.codec_context
    resampler = None
    for at in range(0, len(samples), _BLOCK):
        block = np.ascontiguousarray(samples[at : at + _BLOCK]).reshape(1, -1)
        frame = AudioFrame.from_ndarray(block, format="s16", layout=_layout(samples))
        frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
        if resampler is None:
            context.open(strict=False)
            resampler = av.AudioResampler(
                context.format, context.layout, context.sample_rate, context.frame_size or None
            )
        yield [each for part in resampler.resample(frame) for each in stream.encode(part)]
    if resampler is not None:
        yield [each for part in resampler.resample(None) for each in stream.encode(part)]
    yield stream.encode(None)
