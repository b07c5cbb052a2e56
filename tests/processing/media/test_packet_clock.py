"""Runs of packets that follow each other are placed at once, as each of them would be."""

from __future__ import annotations

import io
from functools import cache
from typing import cast

import av
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sttbatch.processing.media.demuxing import AudioPacket, Demuxer
from sttbatch.processing.media.packet_clock import PacketClock
from tests.encoding import encode

FORMATS = ("matroska", "avi", "mpegts")
"""Their clocks are believed, counted on once they are wrong, and take up where they began."""

Told = list[tuple[int, int]]
"""For each packet, by how much it begins after the last one's end, and how long it is, in units."""

# Most follow each other, so that some runs are steady; lengths may be missing, or nonsense.
TOLD = st.lists(
    st.tuples(st.just(0) | st.integers(-60, 60), st.sampled_from((20, 20, 20, 60, 0, -20))),
    min_size=1,
    max_size=30,
)


@cache
def recording(muxer: str) -> bytes:
    target = io.BytesIO()
    encode(target, np.zeros(2304, np.int16), "mp2", 48_000, muxer=muxer)
    return target.getvalue()


def packets(told: Told, unit: int) -> list[AudioPacket]:
    made, end = [], 0
    for gap, length in told:
        packet = cast("AudioPacket", av.Packet(b"x"))
        packet.pts, packet.duration = (end + gap) * unit, length * unit
        end += gap + length
        made.append(packet)
    return made


@settings(max_examples=200, deadline=None)
@given(told=TOLD, size=st.integers(1, 8), muxer=st.sampled_from(FORMATS))
@example(told=[(0, 0), (0, 20), (1, 20)], size=1, muxer="avi")
@example(told=[(0, -20), (0, -20), (0, -20)], size=3, muxer="matroska")
def test_runs_of_any_size_are_placed_as_each_packet_is(told: Told, size: int, muxer: str) -> None:
    demuxer = Demuxer(io.BytesIO(recording(muxer)))
    try:
        in_runs, one_by_one = PacketClock(demuxer, 0.0), PacketClock(demuxer, 0.0)
        given = packets(told, max(1, round(0.001 / demuxer.time_base)))
        runs = (given[at : at + size] for at in range(0, len(given), size))
        placed = [item for run in runs for item in in_runs.place((demuxer.first, run, ()))]
        assert placed == list(one_by_one._one_by_one(given, ()))
        starts = [item.pts for item in placed]
        assert starts == sorted(starts)
    finally:
        demuxer.close()
