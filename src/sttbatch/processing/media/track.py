"""One audio stream of a file, opened safely and read once from front to back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO, Literal, NamedTuple, Self

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from sttbatch.core.errors import MediaError, NoAudioError
from sttbatch.core.models import MIXED, AudioFile
from sttbatch.processing.media import limits
from sttbatch.processing.media.silence import SAMPLE_RATE

# Playlists and concatenations open other files and URLs, so only formats that contain their samples
# are read, from a file object and without any protocol.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dts,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpeg,mpegts,mpc,ogg,oma,rm,tak,tta,voc,w64,wav,wv"
)
_OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": ""}

FAR = 1 << 62
"""A position beyond every timestamp."""

JUMP_S = 0.04
"""Timestamps that differ from the running count of samples by more than this are a jump."""

_ITEM_CODES: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Codes of Python's memoryview by item size; items are only copied, so their type is irrelevant."""


class StreamPacket(NamedTuple):
    """A packet; `duration_s` is that of its samples, which its timestamps may round."""

    pts: int
    end_pts: int
    duration_s: float
    packet: Packet[AudioStream]

    def digest(self) -> bytes:
        return hashlib.sha256(self.packet).digest()


class Track:
    """An audio stream and its clock.

    Attributes:
        origin_pts: the timestamp that a player shows as 0:00.
        fingerprint: everything besides the packets that determines how they are decoded.

    Raises:
        NoAudioError: it has no audio stream, or not the requested one.
        MediaError: it is unreadable or exceeds a limit.
    """

    def __init__(self, file: BinaryIO, stream: int = 0) -> None:
        self.size_bytes = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._container = _open(file)
        self._index = stream
        try:
            self.stream = _pick(self._container, stream)
            limits.check_limits(self._container, self.stream)
        except MediaError:
            self._container.close()
            raise
        time_base = self.stream.time_base or Fraction(1, 1000)
        self.time_base = float(time_base)
        self.origin_pts = _origin(self._container, self.stream, time_base)
        self.context = self.stream.codec_context
        self.context.thread_count = 1
        self.codec = self.context.codec.canonical_name
        # Read before decoding, as decoders may change these (HE-AAC).
        self.extradata = self.context.extradata or b""
        sample_format = self.context.format.name if self.context.format else ""
        facts = self.codec, self.context.sample_rate, self.context.layout.name, sample_format, ""
        self.fingerprint = " ".join(map(str, facts)).encode() + self.extradata
        self._frame_s = self.context.frame_size / self.context.sample_rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def seconds(self, pts: int) -> float:
        return (pts - self.origin_pts) * self.time_base

    def pts(self, seconds: float) -> int:
        return round(seconds / self.time_base) + self.origin_pts

    def audio_file(self, *, duration_is_estimate: bool) -> AudioFile:

        declared = limits.declared_s(self._container, self.stream)
        bit_rate = self.stream.bit_rate or 0
        if not bit_rate and len(self._container.streams) == 1 and declared > 0:
            bit_rate = round(self.size_bytes * 8 / declared)
        return AudioFile(
            size_bytes=self.size_bytes,
            duration_s=max(0.0, declared),
            duration_is_estimate=duration_is_estimate,
            codec=self.codec,
            container=self._container.format.name,
            sample_rate=self.context.sample_rate,
            channels=self.context.channels,
            bit_rate=bit_rate,
            stream=self._index,
        )

    def packets(self) -> Iterator[StreamPacket]:
        """Yield all packets in order; timestamps never go back by more than a rounding error.

        Raises MediaError if the file is damaged, or exceeds the maximum duration.
        """
        return self._counted() if self._frame_s else self._measured()

    def _counted(self) -> Iterator[StreamPacket]:
        """Yield packets with the length of a frame, which is exact, unlike rounded timestamps."""
        # An hour has 140,000 packets, so this loop avoids lookups and calls.
        frame_s, time_base, jump = self._frame_s, self.time_base, self.pts_of(JUMP_S)
        usual = self.pts_of(frame_s)
        # Some decoders double the rate after the length of a frame was read (HE-AAC).
        shortest, longest = frame_s / time_base - 1.5, frame_s / time_base + 1.5
        expected, earliest = self.origin_pts, -FAR
        latest = self.pts(limits.MAX_DURATION_S)
        for packet in self._demuxed():
            if not packet.size:
                continue
            pts = packet.pts
            if pts is None or pts < earliest:
                pts = expected
            length = packet.duration or usual
            expected = pts + length
            if expected > latest:
                raise MediaError(f"its timestamps reach {limits.hours(self.seconds(expected))}")
            earliest = expected - jump
            is_usual = shortest <= length <= longest
            yield StreamPacket(pts, expected, frame_s if is_usual else length * time_base, packet)

    def _measured(self) -> Iterator[StreamPacket]:
        """Yield packets of varying lengths, each until the next one begins.

        Sums of rounded lengths would drift, by 1 % for Vorbis in Matroska.
        """
        jump = self.pts_of(JUMP_S)
        last: StreamPacket | None = None
        for item in self._counted():
            if last is not None:
                follows = item.pts > last.pts and abs(item.pts - last.end_pts) <= jump
                until = item.pts if follows else last.end_pts
                yield last._replace(duration_s=(until - last.pts) * self.time_base)
            last = item
        if last is not None:
            yield last

    def _demuxed(self) -> Iterator[Packet[AudioStream]]:
        try:
            yield from self._container.demux(self.stream)
        except av.FFmpegError as error:
            raise MediaError(f"damaged: {_reason(error)}") from error

    def pts_of(self, seconds: float) -> int:
        return round(seconds / self.time_base)


class Decoder:
    """Decodes packets to mono s16 samples at 16 kHz, of one channel or of all of them mixed."""

    def __init__(self, track: Track, channel: int = MIXED) -> None:
        self._track = track
        self._channel = channel
        self._context = track.context
        self._time_base = track.stream.time_base or Fraction(1, 1000)
        self._bytes_left = limits.max_decoded_bytes(track.size_bytes)
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def restart(self) -> None:
        """Reset the decoder, as the next packet does not follow the previous one."""
        self._context.flush_buffers()
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)

    def decode(self, item: StreamPacket) -> Iterator[tuple[float, bytes]]:
        """Yield pairs of (second in the recording, samples); damaged packets yield nothing.

        Raises MediaError if there are more bytes of them than `max_decoded_bytes`.
        """
        packet = item.packet
        # Muxing changes these, and neighbours share the packets around a cut.
        packet.time_base = self._time_base
        packet.pts = packet.dts = item.pts
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError:
            return
        for frame in frames:
            self._bytes_left -= frame.samples * self._context.channels * frame.format.bytes
            if self._bytes_left < 0:
                raise MediaError(f"decoded, it is over {limits.MAX_EXPANSION:,} times its size")
            # A frame may have another rate than the header: 1 Hz would be expanded 16,000 times.
            if not limits.SAMPLE_RATES_HZ[0] <= frame.sample_rate <= limits.SAMPLE_RATES_HZ[1]:
                continue
            if data := b"".join(_bytes(part) for part in self._resample(frame)):
                yield self._track.seconds(item.pts if frame.pts is None else frame.pts), data

    def flush(self) -> bytes:
        """The samples that remain in decoder and resampler at the end of the stream."""
        try:
            late = [part for frame in self._context.decode() for part in self._resample(frame)]
        except av.FFmpegError:
            late = []
        return b"".join(_bytes(frame) for frame in [*late, *self._resampler.resample(None)])

    def _resample(self, frame: AudioFrame) -> list[AudioFrame]:
        if self._channel != MIXED:
            frame = _extract_channel(frame, self._channel)
        try:
            return self._resampler.resample(frame)
        except (av.FFmpegError, ValueError):
            # The sample rate or layout changed within the stream.
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            return self._resampler.resample(frame)


def _extract_channel(frame: AudioFrame, channel: int) -> AudioFrame:
    """Copy `channel`, counted from 1, into a mono frame of the same rate and time.

    It is silent if the frame has fewer channels, so that each word is transcribed once.
    """
    name = frame.format.packed.name
    count = len(frame.layout.channels)
    mono = AudioFrame(format=name, layout="mono", samples=frame.samples)
    plane = mono.planes[0]
    if channel > count:
        # Unsigned silence is half the range.
        data = (b"\x80" if name == "u8" else b"\0") * plane.buffer_size
    elif frame.format.is_planar:
        data = bytes(frame.planes[channel - 1])[: plane.buffer_size]
    else:
        size = frame.format.bytes * count * frame.samples
        samples = memoryview(bytes(frame.planes[0])[:size]).cast(_ITEM_CODES[frame.format.bytes])
        data = samples[channel - 1 :: count].tobytes()
    plane.update(data.ljust(plane.buffer_size, b"\0"))
    mono.sample_rate = frame.sample_rate
    mono.pts = frame.pts
    if frame.time_base is not None:
        mono.time_base = frame.time_base
    return mono


def _bytes(frame: AudioFrame) -> bytes:
    # The plane is padded for alignment; only the samples count.
    return bytes(frame.planes[0])[: frame.samples * 2]


def _open(file: BinaryIO) -> InputContainer:
    try:
        return av.open(file, mode="r", options=_OPEN_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"not a recording that can be read: {_reason(error)}") from error


def _pick(container: InputContainer, stream: int) -> AudioStream:
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    if not streams:
        raise NoAudioError("it has no audio stream")
    if stream >= len(streams):
        raise NoAudioError(
            f"it has {len(streams)} audio stream(s), so --audio-stream goes up to "
            f"{len(streams) - 1}"
        )
    return streams[stream]


def _origin(container: InputContainer, stream: AudioStream, time_base: Fraction) -> int:
    # An mp3's encoder delay is the stream's start; in others, video may begin before the audio.
    if container.format.name == "mp3" or len(container.streams) == 1:
        return max(0, stream.start_time or 0)
    return max(0, round((container.start_time or 0) / 1e6 / time_base))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
