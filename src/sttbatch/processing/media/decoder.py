"""Decodes a track's packets, whose parameters may change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import av
from av.audio.frame import AudioFrame
from av.filter import Graph

from sttbatch.core.errors import MediaError
from sttbatch.core.models import MIXED
from sttbatch.processing.media import limits
from sttbatch.processing.media.demuxing import AudioPacket
from sttbatch.processing.media.mixing import Mixer, declared_layout, repeated
from sttbatch.processing.media.packet_clock import StreamPacket
from sttbatch.processing.media.silence import SAMPLE_RATE
from sttbatch.processing.media.track import Track

_ITEM_CODES: dict[int, Literal["B", "H", "I", "Q"]] = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Codes of Python's memoryview by item size; items are only copied, so their type is irrelevant."""


class Decoder:
    """Decodes packets to interleaved s16 samples at 16 kHz, of one channel or of all.

    Attributes:
        mixer: separates and mixes the channels.
    """

    def __init__(self, track: Track, channel: int = MIXED) -> None:
        layout = declared_layout(track.context) if channel == MIXED else av.AudioLayout("mono")
        self.mixer = Mixer(layout)
        self._track = track
        # libav makes a fraction of it each time that it is read.
        self._time_base = track.stream.time_base
        self._channel = channel
        self._section = track.first
        self._bytes_left = limits.max_decoded_bytes(track.size_bytes)
        # One for each kind of frames, as they may alternate.
        self._resampler: _Resampler | None = None
        self._mixer_of_frames = self.mixer
        self._kind: tuple[object, ...] = ()

    def restart(self) -> None:
        """Reset the decoder, as the next packet does not follow the previous one."""
        self._section.context.flush_buffers()
        self._kind = ()
        self._resampler = None

    def decode(self, item: StreamPacket) -> Iterator[tuple[float, bytes]]:
        """Yield pairs of (second in the recording, samples); damaged packets yield nothing.

        Raises MediaError if there are more bytes of them than `max_decoded_bytes`.
        """
        if item.section.context is not self._section.context:
            late = self.flush()
            if late:
                yield self._track.seconds(item.pts) - self._seconds(late), late
            self._section = item.section
            self.restart()
        self._section = item.section
        pts = item.pts
        for unheard in item.unheard:
            unheard.time_base = self._time_base or unheard.time_base
            unheard.pts = unheard.dts = item.pts
            self._frames(unheard)
        packet = item.packet
        # Muxing changes these, and neighbours share the packets around a cut.
        packet.time_base = self._time_base or packet.time_base
        packet.pts = packet.dts = pts
        for frame in self._frames(packet):
            self._bytes_left -= frame.samples * frame.layout.nb_channels * frame.format.bytes
            if self._bytes_left < 0:
                raise MediaError(f"it would decode to over {limits.MAX_EXPANSION:,} times its size")
            # A frame may have another rate than the header: 1 Hz would be expanded 16,000 times.
            if not limits.SAMPLE_RATES_HZ[0] <= frame.sample_rate <= limits.SAMPLE_RATES_HZ[1]:
                continue
            if data := self._resample(frame):
                yield self._track.seconds(pts if frame.pts is None else frame.pts), data

    def flush(self) -> bytes:
        """The samples that remain in decoder and resampler at the end of the stream."""
        try:
            frames = self._section.context.decode()
        except av.FFmpegError:
            frames = []
        late = b"".join(self._resample(frame) for frame in frames)
        return late + self._drain()

    def _frames(self, packet: AudioPacket) -> list[AudioFrame]:
        try:
            return self._section.context.decode(packet)
        except av.FFmpegError:
            return []

    def _resample(self, frame: AudioFrame) -> bytes:
        if self._channel != MIXED:
            frame = _extract_channel(frame, self._channel)
        kind = frame.sample_rate, frame.format.name, frame.layout.name
        late = b""
        if kind != self._kind:
            late = self._drain()
            self._kind = kind
            self._mixer_of_frames = Mixer(frame.layout)
            self._resampler = _Resampler(frame)
        assert self._resampler is not None
        return late + self._arranged(self._resampler.resample(frame))

    def _drain(self) -> bytes:
        if self._resampler is None:
            return b""
        resampler, self._resampler, self._kind = self._resampler, None, ()
        return self._arranged(resampler.flush())

    def _arranged(self, frames: list[AudioFrame]) -> bytes:
        """The samples with the number of channels of the track's first section."""
        count = self._mixer_of_frames.count
        # The plane is padded for alignment; only the samples count.
        data = b"".join(
            bytes(memoryview(frame.planes[0])[: frame.samples * 2 * count]) for frame in frames
        )
        if count == self.mixer.count:
            return data
        return repeated(self._mixer_of_frames.mix(data), self.mixer.count)

    def _seconds(self, data: bytes) -> float:
        return len(data) / (2 * self.mixer.count * SAMPLE_RATE)


class _Resampler:
    """Converts frames to s16 at 16 kHz, of which each gives one at most.

    `av.AudioResampler` does the same, but asks for another one after each, which libavfilter denies
    by an exception: a third of its time.
    """

    def __init__(self, first: AudioFrame) -> None:
        self._graph: Graph | None = None
        layout = first.layout.name
        if (first.format.name, first.sample_rate) == ("s16", SAMPLE_RATE):
            return
        graph = self._graph = Graph()
        graph.threads = 1
        time_base = {} if first.time_base is None else {"time_base": str(first.time_base)}
        source = graph.add(
            "abuffer",
            sample_rate=str(first.sample_rate),
            sample_fmt=first.format.name,
            channel_layout=layout,
            **time_base,
        )
        converted = graph.add(
            "aformat", sample_rates=str(SAMPLE_RATE), sample_fmts="s16", channel_layouts=layout
        )
        graph.link_nodes(source, converted, graph.add("abuffersink")).configure()

    def resample(self, frame: AudioFrame) -> list[AudioFrame]:
        if self._graph is None:
            return [frame]
        self._graph.push(frame)
        return self._pulled()

    def flush(self) -> list[AudioFrame]:
        if self._graph is None:
            return []
        self._graph.push(None)
        frames: list[AudioFrame] = []
        while pulled := self._pulled():
            frames += pulled
        return frames

    def _pulled(self) -> list[AudioFrame]:
        assert self._graph is not None
        try:
            frame = self._graph.pull()
        except (BlockingIOError, EOFError):
            return []
        assert isinstance(frame, AudioFrame)
        return [frame]


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
