"""Extraction of one channel from a decoded frame."""

from __future__ import annotations

from typing import Literal

from av.audio.frame import AudioFrame

_BYTES: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Codes of Python's memoryview by item size; the type does not matter, as items are only copied."""


def extract_channel(frame: AudioFrame, channel: int) -> AudioFrame:
    """Copy `channel`, counted from 1, into a mono frame of the same rate and time.

    It is silent where the frame has fewer channels, so that each word is transcribed once.
    """
    name = frame.format.packed.name
    count = len(frame.layout.channels)
    mono = AudioFrame(format=name, layout="mono", samples=frame.samples)
    plane = mono.planes[0]
    if channel > count:
        # Unsigned samples rest at half their range.
        data = (b"\x80" if name == "u8" else b"\0") * plane.buffer_size
    elif frame.format.is_planar:
        data = bytes(frame.planes[channel - 1])[: plane.buffer_size]
    else:
        size = frame.format.bytes * count * frame.samples
        samples = memoryview(bytes(frame.planes[0])[:size]).cast(_BYTES[frame.format.bytes])
        data = samples[channel - 1 :: count].tobytes()
    plane.update(data.ljust(plane.buffer_size, b"\0"))
    mono.sample_rate = frame.sample_rate
    mono.pts = frame.pts
    if frame.time_base is not None:
        mono.time_base = frame.time_base
    return mono
