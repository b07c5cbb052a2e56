"""The bytes of an upload: packets copied into a new container, or encoded samples."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.silence import SAMPLE_RATE
from sttbatch.processing.media.track import StreamPacket
from sttbatch.processing.media.upload_format import COPYABLE, ENCODED, OPUS_BIT_RATE

_ENCODE_SAMPLES = 16_384


def copy_packets(items: Iterable[StreamPacket], stream: AudioStream, codec: str) -> bytes:
    """Mux packets so that a decoder sees them as one unbroken recording from 0:00."""
    if codec == "mp3":
        # Frames describe themselves; a muxer would add a Xing header, which shifts all times.
        return b"".join([item.packet for item in items])
    target = io.BytesIO()
    with av.open(target, mode="w", format=COPYABLE[codec].muxer) as container:
        out = container.add_stream_from_template(stream)
        rate = 48_000 if codec == "opus" else stream.codec_context.sample_rate
        at_s = 0.0
        for item in items:
            packet: Packet[AudioStream] = item.packet
            packet.stream = out
            packet.time_base = Fraction(1, rate)
            packet.pts = packet.dts = round(at_s * rate)
            packet.duration = round(item.duration_s * rate)
            container.mux_one(packet)
            at_s += item.duration_s
    return target.getvalue()


def encode(pcm: memoryview, codec: UploadCodec) -> bytes:
    """Encode mono s16 samples at 16 kHz."""
    kind = ENCODED[codec]
    target = io.BytesIO()
    name = {UploadCodec.OPUS: "libopus", UploadCodec.WAV: "pcm_s16le"}.get(codec, "flac")
    with av.open(target, mode="w", format=kind.muxer) as container:
        out = container.add_stream(name, rate=SAMPLE_RATE)
        assert isinstance(out, AudioStream)
        out.codec_context.layout = "mono"
        out.codec_context.format = "s16"
        if codec is UploadCodec.OPUS:
            out.codec_context.bit_rate = OPUS_BIT_RATE
        for frame in _frames(pcm):
            container.mux(out.encode(frame))
        container.mux(out.encode(None))
    return target.getvalue()


def _frames(pcm: memoryview) -> Iterable[AudioFrame]:
    step = _ENCODE_SAMPLES * 2
    for at in range(0, len(pcm), step):
        part = pcm[at : at + step]
        frame = AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
        plane = frame.planes[0]
        plane.update(bytes(part).ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = SAMPLE_RATE
        frame.pts = at // 2
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield frame
