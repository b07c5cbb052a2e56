"""Which packets a range covers, whose digests are its key."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import dropwhile
from typing import cast

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sttbatch.processing.media.demuxing import AudioPacket, Demuxer
from sttbatch.processing.media.packet_buffer import PacketBuffer
from sttbatch.processing.media.packet_clock import FAR, JUMP_S
from sttbatch.processing.media.track import Track

from .cutting import MIB

JUMP_MS = round(JUMP_S * 1000)

Told = list[tuple[int, int]]
"""For each packet, by how much it begins after the last one's end, and how long it is, in ms."""

TOLD = st.lists(
    st.tuples(st.integers(-JUMP_MS - 5, JUMP_MS + 5) | st.just(0), st.integers(0, 120)),
    min_size=1,
    max_size=30,
)


def recorded(told: Told) -> io.BytesIO:
    """Packets in Matroska, whose clock counts ms and whose starts are in order."""
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as output:
        stream = output.add_stream("libopus", rate=48_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame("s16", "mono", samples=960)
        frame.sample_rate, frame.pts = 48_000, 0
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        data = b"".join(map(bytes, [*stream.encode(frame), *stream.encode(None)]))
        at = end = 0
        for gap, length in told:
            packet = cast("AudioPacket", av.Packet(data))
            at = max(at, end + gap)
            end = at + length
            packet.pts = packet.dts = at
            packet.duration, packet.time_base, packet.stream = length, Fraction(1, 1000), stream
            output.mux(packet)
    target.seek(0)
    return target


@settings(max_examples=150, deadline=None)
@given(told=TOLD, at=st.integers(-50, 500), length=st.integers(0, 500))
@example(told=[(0, 100), (-39, 10), (0, 100)], at=80, length=20)
def test_a_range_covers_what_overlaps_it(told: Told, at: int, length: int) -> None:
    """Also where packets overlap, so that one ends before one that began earlier."""
    with Track(Demuxer(recorded(told))) as track:
        buffer = PacketBuffer(track, MIB)
        buffer.fill(FAR, FAR)
        items = list(buffer._items)
        assert len(items) == len(told)
        start, end = track.origin_pts + at, track.origin_pts + at + length
        covered = [item for item in items if item.end_pts > start and item.pts < end]
        assert list(buffer._covered(start, end)) == covered
        buffer.skip_to(start)
        assert list(buffer._items) == list(dropwhile(lambda item: item.end_pts <= start, items))


class Failing(io.BytesIO):
    """A file whose disk fails once it is open, from `limit` on."""

    limit: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None and self.tell() > self.limit:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_what_was_read_before_the_disk_failed_counts() -> None:
    data = recorded([(0, 20)] * 10_000).getvalue()
    told = []
    for read in (one_by_one, in_runs):
        file = Failing(data)
        demuxer = Demuxer(file)
        file.limit = len(data) // 2
        counts: list[int] = []
        with pytest.raises(OSError, match="Input/output error"):
            counts.extend(read(demuxer))
        demuxer.close()
        told.append(sum(counts))
    assert told[0] == told[1] > 1000


def one_by_one(demuxer: Demuxer) -> Iterator[int]:
    return (1 for packet in demuxer.container.demux(demuxer.stream) if packet.size)


def in_runs(demuxer: Demuxer) -> Iterator[int]:
    return (len(packets) for _, packets, _ in demuxer.runs())
