"""Headers of frames that describe themselves: ADTS and MPEG audio.

Such streams can be joined at any frame, so the headers of all frames are compared.
"""

from __future__ import annotations

from typing import NamedTuple

HEADER_BYTES = 4

_ADTS_RATES_HZ = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
)  # fmt: skip
_ADTS_SAMPLES = 1024
_MPEG_RATES_HZ = (44_100, 48_000, 32_000)
_SINGLE_CHANNEL = 3


class FrameHeader(NamedTuple):
    """The parameters of a frame.

    Attributes:
        parameters: the bits of its header that are the same in all frames of a stream.
        frame_s: its duration in seconds.
    """

    parameters: bytes
    frame_s: float


def adts_header(head: bytes) -> FrameHeader | None:
    """Profile, rate and channels (ISO/IEC 13818-7, 6.2); None: no such header."""
    if len(head) < HEADER_BYTES or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    rate = (head[2] >> 2) & 15
    if rate >= len(_ADTS_RATES_HZ):
        return None
    return FrameHeader(
        bytes((head[2] & 0xFD, head[3] & 0xC0)), _ADTS_SAMPLES / _ADTS_RATES_HZ[rate]
    )


def mpeg_header(head: bytes) -> FrameHeader | None:
    """Version, layer, rate, one channel or two (ISO/IEC 11172-3, 2.4.1.3); None: no such header.

    The mode within two channels (joint or not) may differ in each frame.
    """
    if len(head) < HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate = (head[1] >> 3) & 3, (head[1] >> 1) & 3, (head[2] >> 2) & 3
    if version == 1 or layer == 0 or rate == len(_MPEG_RATES_HZ):
        return None
    # MPEG 1, 2 and 2.5 are 3, 2 and 0 here; layers I, II and III are 3, 2 and 1.
    samples = {3: 384, 2: 1152, 1: 1152 if version == 3 else 576}[layer]
    rate_hz = _MPEG_RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    is_single = head[3] >> 6 == _SINGLE_CHANNEL
    return FrameHeader(bytes((head[1] & 0xFE, head[2] & 0x0C, is_single)), samples / rate_hz)


READERS = {"aac": adts_header, "mp3": mpeg_header, "mp2": mpeg_header, "mp1": mpeg_header}
"""By codec; AAC outside of ADTS has no such headers."""
