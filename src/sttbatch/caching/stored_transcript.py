"""A transcript's value as it is stored: compressed JSON lines.

The first is the transcript without its segments, each further one a segment. Ten hours of words
are 7 MB of JSON, of which every level, its seal and its transaction would make a copy.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import msgspec

from sttbatch.core.models import Segment, Transcript

_FASTEST = 1
_AT_ONCE = 256
"""Segments: a few ten kilobytes."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Transcript)
_segment_decoder = msgspec.json.Decoder(Segment)


def encode_transcript(transcript: Transcript) -> bytes:
    compressor = zlib.compressobj(_FASTEST)
    segments = transcript.segments
    parts = [compressor.compress(_encoder.encode_lines([replace(transcript, segments=())]))]
    parts += [
        compressor.compress(_encoder.encode_lines(segments[at : at + _AT_ONCE]))
        for at in range(0, len(segments), _AT_ONCE)
    ]
    return b"".join([*parts, compressor.flush()])


def decode_transcript(data: bytes) -> Transcript | None:
    """None where another version wrote something else; the oldest values are one JSON object."""
    try:
        if data.startswith(b"{"):
            return _decoder.decode(data)
        first, _, rest = zlib.decompress(data).partition(b"\n")
        segments = tuple(_segment_decoder.decode_lines(rest))
        return replace(_decoder.decode(first), segments=segments)
    except (msgspec.DecodeError, zlib.error):
        return None
