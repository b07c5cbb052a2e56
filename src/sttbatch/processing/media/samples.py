"""Decoded samples with their times, and their encoding."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.packet_clock import JUMP_S
from sttbatch.processing.media.silence import SAMPLE_RATE
from sttbatch.processing.media.upload_format import ENCODED, OPUS_BIT_RATE

_ENCODE_SAMPLES = 16_384


class Samples:
    """Interleaved s16 samples at 16 kHz that begin anywhere in a recording.

    Offsets are in bytes. Samples on both sides of a jump of the timestamps are adjacent.
    """

    def __init__(self, channels: int) -> None:
        self.pcm = bytearray()
        self._frame_bytes = 2 * channels
        self._per_second = self._frame_bytes * SAMPLE_RATE
        # (offset in pcm, second in the recording) at each jump of the timestamps.
        self._time_map: list[tuple[int, float]] = []

    def __len__(self) -> int:
        return len(self.pcm)

    @property
    def mono_bytes(self) -> int:
        """Bytes of one channel."""
        return 2 * (len(self.pcm) // self._frame_bytes)

    def append(self, at_s: float, data: bytes) -> None:
        if not self._time_map or abs(at_s - self.second(len(self.pcm))) > JUMP_S:
            self._time_map.append((len(self.pcm), at_s))
        self.pcm += data

    def drop_before(self, second: float) -> None:
        offset = self.offset(second)
        if offset <= 0:
            return
        first_s = self.second(offset)
        later = [(at - offset, s) for at, s in self._time_map if at > offset]
        del self.pcm[:offset]
        self._time_map = [(0, first_s), *later] if self.pcm else []

    def second(self, offset: int) -> float:
        """The time of an offset; requires at least one sample."""
        at, second = next(
            (entry for entry in reversed(self._time_map) if entry[0] <= offset),
            self._time_map[0],
        )
        return second + (offset - at) / self._per_second

    def duration_s(self, low: int, high: int) -> float:
        return (high - low) / self._per_second

    def times(self, low: int, high: int, lead_s: float) -> tuple[tuple[float, float], ...]:
        """The time map of an upload: `lead_s` of silence, then the samples between two offsets."""
        return (
            (0.0, self.second(low) - lead_s),
            *(
                ((at - low) / self._per_second + lead_s, second)
                for at, second in self._time_map
                if low < at < high
            ),
        )

    def offset(self, wanted_s: float) -> int:
        """The offset of the first sample at or after a time."""
        offset = 0
        for index, (at, second) in enumerate(self._time_map):
            if second > wanted_s and index:
                break
            last = index + 1 == len(self._time_map)
            limit = len(self.pcm) if last else self._time_map[index + 1][0]
            samples = round((wanted_s - second) * SAMPLE_RATE)
            offset = min(limit, max(at, at + self._frame_bytes * samples))
        return min(max(0, offset), len(self.pcm))


def encode(parts: Iterable[bytes], codec: UploadCodec) -> bytes:
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
        samples = 0
        for part in _joined(parts):
            frame = AudioFrame(format="s16", layout="mono", samples=len(part) // 2)
            plane = frame.planes[0]
            plane.update(part.ljust(plane.buffer_size, b"\0"))
            frame.sample_rate = SAMPLE_RATE
            frame.pts = samples
            frame.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(out.encode(frame))
            samples += len(part) // 2
        container.mux(out.encode(None))
    return target.getvalue()


def _joined(parts: Iterable[bytes]) -> Iterable[bytes]:
    """The same samples in parts of equal length."""
    held = bytearray()
    for part in parts:
        held += part
        while len(held) >= 2 * _ENCODE_SAMPLES:
            yield bytes(held[: 2 * _ENCODE_SAMPLES])
            del held[: 2 * _ENCODE_SAMPLES]
    if held:
        yield bytes(held)
