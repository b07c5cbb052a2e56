"""Limits of recordings; a file that exceeds them is damaged or malicious, and is not sent."""

from __future__ import annotations

from av.audio.stream import AudioStream

from sttbatch.core.errors import MediaError

SAMPLE_RATES_HZ = (4_000, 384_000)
MAX_CHANNELS = 16
MAX_DURATION_S = 100 * 3600.0
"""A longer duration is that of a damaged header, or of a jump of the timestamps."""

MAX_EXPANSION = 20_000
"""Decoded bytes per byte of the file; digital silence in FLAC has 16,000, in Opus 8,000."""

ALWAYS_DECODED_BYTES = 1 << 30
"""Any file, however small, may be decoded to this size."""


def max_decoded_bytes(size_bytes: int) -> int:

    return max(ALWAYS_DECODED_BYTES, MAX_EXPANSION * size_bytes)


def check_limits(stream: AudioStream, length_s: float) -> None:
    """Raise MediaError if a stream exceeds a limit."""
    low, high = SAMPLE_RATES_HZ
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if not low <= rate <= high:
        raise MediaError(f"its sample rate is {rate} Hz; {low} to {high} Hz are read")
    if not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(f"it has {channels} channels; 1 to {MAX_CHANNELS} are read")
    if length_s > MAX_DURATION_S:
        raise MediaError(f"it says that it lasts {hours(length_s)}")


def hours(seconds: float) -> str:
    """Format a duration beyond the limit for a message."""
    return f"{seconds / 3600:,.0f} hours; up to {MAX_DURATION_S / 3600:.0f} are read"
