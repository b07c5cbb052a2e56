"""Packets of one stream, and changes of their parameters within it."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import BinaryIO, TypeAlias, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from msgspec import Struct
from msgspec.structs import replace

from sttbatch.core.errors import MediaError, NoAudioError
from sttbatch.processing.media import timeline
from sttbatch.processing.media.frame_headers import HEADER_BYTES, READERS
from sttbatch.processing.media.ogg_links import Slice, find_links
from sttbatch.processing.media.opening import open_container, pick_stream, reason
from sttbatch.processing.media.upload_format import COPYABLE

_PRIMING_S = 0.5
"""Packets at either end that a player does not play are the encoder's padding if they last less."""

_COARSEST_S = Fraction(1, 25)
_FINE_S = Fraction(1, 1000)
"""AVI counts packets, of up to a second each; cuts within them need a finer clock."""

_SELF_DESCRIBING = ("aac", "mp3", "mpegts", "mpeg")
_EDITED = ("mov", "flv", "nut")
"""Formats in which frames of different parameters may follow each other; formats in which packets
are marked as not played, or bring new parameters. By the first of libavformat's names."""

_BATCH_PACKETS = 64

_SEEKABLE = ("aiff", "caf", "flac", "mov", "w64", "wav")
"""Formats whose timestamps are the same after seeking."""


class Section(Struct, frozen=True, eq=False):
    """Packets that are decoded with the same parameters.

    Attributes:
        link: of a chained file, counted from 0; each has a clock of its own.
        mark: how its parameters differ from those of the track's start; empty: they do not.
        frame_s: duration of a packet in seconds by its own header; 0: unknown.
        scale: factor from its timestamps to those of the track.
        origin_pts: the timestamp at which the link begins; that of a later link is not scaled.
    """

    context: AudioCodecContext
    link: int = 0
    mark: bytes = b""
    frame_s: float = 0.0
    scale: float = 1.0
    origin_pts: int = 0


AudioPacket: TypeAlias = "Packet[AudioStream]"
Run: TypeAlias = "tuple[Section, list[AudioPacket], tuple[AudioPacket, ...]]"
"""Packets of one section, and those before them that a player decodes and does not play."""


class Demuxer:
    """A file and one of its audio streams, in all links of a chained file.

    `is_plain_wav` as in `SplitPlan`.

    Raises:
        NoAudioError: it has no audio stream, or not the requested one.
        MediaError: it is unreadable.
    """

    def __init__(self, file: BinaryIO, stream: int = 0, *, is_plain_wav: bool = False) -> None:
        self._file = file
        self.index = stream
        self.size_bytes = file.seek(0, os.SEEK_END)
        self._links = find_links(file, self.size_bytes)
        file.seek(0)
        chained = len(self._links) > 1
        first = self._link(0) if chained else file
        self.container = open_container(first, is_plain_wav=is_plain_wav)
        try:
            self.stream = pick_stream(self.container, stream)
        except MediaError:
            self.close()
            raise
        self.format = self.container.format.name.partition(",")[0]
        self.codec = self.stream.codec_context.codec.canonical_name
        time_base = self.stream.time_base or Fraction(1, 1000)
        is_coarse = time_base > _COARSEST_S and self.codec not in COPYABLE
        scale = math.ceil(time_base / _FINE_S) if is_coarse else 1
        self.time_base = time_base / scale
        # Read before decoding, as decoders may change these (HE-AAC).
        self.fingerprint = _fingerprint(self.stream.codec_context)
        origin_pts = scale * timeline.origin(self.container, self.stream, time_base)
        self.first = Section(self.stream.codec_context, scale=scale, origin_pts=origin_pts)

    def close(self) -> None:
        self.container.close()

    def seek(self, pts: int) -> None:
        """Begin reading before `pts` if the format has an index or computes positions."""
        if self.format in _SEEKABLE and pts > self.first.origin_pts:
            self.container.seek(round(pts / self.first.scale), stream=self.stream)

    def later_links(self) -> Iterator[tuple[int, InputContainer, AudioStream]]:
        """Open the links of a chained file, from its second on, that have this stream."""
        for link in range(1, len(self._links)):
            try:
                container = open_container(self._link(link))
                yield link, container, pick_stream(container, self.index)
            except NoAudioError:
                continue

    def runs(self) -> Iterator[Run]:
        """Yield all packets in order; raises MediaError if the file is damaged."""
        try:
            yield from self._runs_of(self.container, self.stream, self.first)
            for link, container, stream in self.later_links():
                yield from self._runs_of(container, stream, self._section(link, container, stream))
        except av.FFmpegError as error:
            raise MediaError(f"damaged: {reason(error)}") from error

    def _link(self, index: int) -> BinaryIO:
        return cast("BinaryIO", Slice(self._file, *self._links[index]))

    def _section(self, link: int, container: InputContainer, stream: AudioStream) -> Section:
        time_base = stream.time_base or self.time_base
        stream.codec_context.thread_count = 1
        fingerprint = _fingerprint(stream.codec_context)
        return Section(
            stream.codec_context,
            link,
            b"" if fingerprint == self.fingerprint else hashlib.sha256(fingerprint).digest(),
            scale=float(time_base / self.time_base),
            origin_pts=timeline.origin(container, stream, time_base),
        )

    def _runs_of(
        self, container: InputContainer, stream: AudioStream, section: Section
    ) -> Iterator[Run]:
        packets = container.demux(stream)
        if self.format in _EDITED:
            return _edited(packets, section)
        if self.format in _SELF_DESCRIBING and stream.codec_context.codec.canonical_name in READERS:
            return _self_describing(packets, section)
        return ((section, batch, ()) for batch in _batches(packets))


def _batches(packets: Iterator[AudioPacket]) -> Iterator[list[AudioPacket]]:
    """Packets in lists, as an hour has 140,000 of them; none of a list is empty."""
    batch: list[AudioPacket] = []
    try:
        while True:
            batch.extend(islice(packets, _BATCH_PACKETS))
            if not batch:
                return
            yield [packet for packet in batch if packet.size]
            batch = []
    except Exception:
        # Of the format or of the disk. What was read before the damage counts.
        yield [packet for packet in batch if packet.size]
        raise


def _self_describing(packets: Iterator[AudioPacket], section: Section) -> Iterator[Run]:
    """Compare each frame's header with the first one."""
    read = READERS[section.context.codec.canonical_name]
    # Headers of one stream differ in a few bits only; each one is read once.
    sections: dict[bytes, Section] = {}
    first, now = None, section
    for batch in _batches(packets):
        heads = [bytes(packet)[:HEADER_BYTES] for packet in batch]
        if {sections.get(head) for head in set(heads)} == {now}:
            yield now, batch, ()
            continue
        for head, packet in zip(heads, batch, strict=True):
            known = sections.get(head)
            if known is None:
                header = read(head)
                first = first or header
                if header is None or first is None:
                    known = now
                elif header.parameters == first.parameters:
                    known = section
                elif header.parameters == now.mark:
                    known = now
                else:
                    known = replace(section, mark=header.parameters, frame_s=header.frame_s)
                sections[head] = known
            now = known
            yield now, [packet], ()


def _edited(packets: Iterator[AudioPacket], section: Section) -> Iterator[Run]:
    """Separate packets that an edit list omits, and follow new parameters."""
    left_out: list[AudioPacket] = []
    is_first = True
    for batch in _batches(packets):
        if not left_out and not any(p.is_discard or p.has_sidedata("new_extradata") for p in batch):
            yield section, batch, ()
            is_first = is_first and not batch
            continue
        for packet in batch:
            if packet.is_discard:
                left_out.append(packet)
                continue
            if packet.has_sidedata("new_extradata"):
                section = _with_extradata(section, bytes(packet.get_sidedata("new_extradata")))
            if is_first and left_out and _lasts_s(left_out) <= _PRIMING_S:
                yield section, [*left_out, packet], ()
            elif left_out:
                edited = replace(section, mark=section.mark + b" edited")
                yield edited, [packet], tuple(left_out)
            else:
                yield section, [packet], ()
            left_out, is_first = [], False
    if _lasts_s(left_out) <= _PRIMING_S:
        yield section, left_out, ()


def _with_extradata(section: Section, extradata: bytes) -> Section:
    # A context of its own: packets from before are decoded again after these.
    context = AudioCodecContext.create(section.context.codec.name, "r")
    assert isinstance(context, AudioCodecContext)
    context.extradata = extradata
    context.thread_count = 1
    return replace(section, context=context, mark=hashlib.sha256(extradata).digest())


def _lasts_s(packets: list[AudioPacket]) -> float:
    return sum(float((each.duration or 0) * (each.time_base or 0)) for each in packets)


def _fingerprint(context: AudioCodecContext) -> bytes:
    """Everything besides the packets that determines how they are decoded."""
    sample_format = context.format.name if context.format else ""
    # Keys are made of these facts, the empty last one included.
    facts = (
        context.codec.canonical_name,
        context.sample_rate,
        context.layout.name,
        sample_format,
        "",
    )
    return " ".join(map(str, facts)).encode() + (context.extradata or b"")
