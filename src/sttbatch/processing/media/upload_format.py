"""The upload format of each source; without av, so that planning needs no media library."""

from __future__ import annotations

from msgspec import Struct

from sttbatch.core.models import MIXED, AudioFile, UploadCodec

COPY_LIMIT_BIT_RATE = 256_000
"""bit/s; above it a copy is larger than FLAC at 16 kHz mono."""

OPUS_BIT_RATE = 32_000

PCM_BYTES_PER_SECOND = 32_000
"""Mono s16 at 16 kHz; FLAC exceeds it by its frame headers at most."""


class Container(Struct, frozen=True):
    """The container that a codec is uploaded in.

    Attributes:
        preroll_s: audio sent before a chunk's start, to warm up the decoder: mp3's bit reservoir
            reaches up to 0.3 s back, Opus converges within 80 ms (RFC 7845), AAC overlaps frames.
        muxer: libavformat's name for it; that of AAC in an m4a file is ipod.
    """

    suffix: str
    content_type: str
    muxer: str
    preroll_s: float


COPYABLE = {
    "mp3": Container("mp3", "audio/mpeg", "mp3", 0.3),
    "aac": Container("m4a", "audio/mp4", "ipod", 0.1),
    "opus": Container("ogg", "audio/ogg", "ogg", 0.1),
    "vorbis": Container("ogg", "audio/ogg", "ogg", 0.1),
}

ENCODED = {
    UploadCodec.FLAC: Container("flac", "audio/flac", "flac", 0.0),
    UploadCodec.OPUS: Container("ogg", "audio/ogg", "ogg", 0.0),
    UploadCodec.WAV: Container("wav", "audio/wav", "wav", 0.0),
}


def upload_codec_for(file: AudioFile, wanted: UploadCodec, channel: int = MIXED) -> UploadCodec:
    """Resolve `auto`, to COPY for lossy sources that the endpoint accepts unchanged.

    Packets contain all channels, so a single channel is never copied.
    """
    if channel != MIXED and wanted in {UploadCodec.AUTO, UploadCodec.COPY}:
        return UploadCodec.FLAC
    if wanted is not UploadCodec.AUTO:
        return wanted
    copyable = file.codec in COPYABLE and file.bit_rate <= COPY_LIMIT_BIT_RATE
    return UploadCodec.COPY if copyable else UploadCodec.FLAC


def is_plain_wav(file: AudioFile) -> bool:
    """Whether this is a WAV file in whose samples no compressed audio was found."""
    return file.container == "wav" and file.codec.startswith("pcm_")


def upload_bytes_per_second(file: AudioFile, codec: UploadCodec) -> float:
    """The maximum size of a second of `file` as an upload, for planning."""
    if codec is UploadCodec.COPY:
        return max(file.bit_rate, 8_000) / 8
    return OPUS_BIT_RATE / 8 if codec is UploadCodec.OPUS else PCM_BYTES_PER_SECOND
