"""Streams whose parameters, clocks or packets change on their way."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import av
import pytest

from sttbatch.core.models import UploadCodec
from tests.cloudru import HeardWord
from tests.processing.conftest import Record

from .cutting import assert_says, cut, declared_s, merged, plan_for

BOTH_WAYS = pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
LENGTH_S = 8.0

JOINED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "adts": ("a.aac", {"sample_rate": 44_100}, {"sample_rate": 22_050, "channels": 1}),
    "mp3": (
        "a.mp3",
        {"sample_rate": 44_100, "write_xing": False},
        {"sample_rate": 16_000, "channels": 1, "write_xing": False},
    ),
    "vorbis": (
        "a.ogg",
        {"codec": "vorbis", "sample_rate": 44_100},
        {"codec": "vorbis", "sample_rate": 22_050},
    ),
    "opus channels": ("a.opus", {"channels": 2}, {"channels": 1}),
    "opus": ("a.opus", {"channels": 1}, {"channels": 1}),
}
"""Two recordings that one file is joined of."""


def later(words: list[HeardWord], by_s: float) -> list[HeardWord]:
    return [HeardWord(word.text, word.start_s + by_s, word.end_s + by_s) for word in words]


def renumbered(data: bytes, serial: int) -> bytes:
    """The same Ogg stream under another serial number, as two programs write it."""
    pages = bytearray(data)
    at = 0
    while at < len(pages):
        segments = pages[at + 26]
        size = 27 + segments + sum(pages[at + 27 : at + 27 + segments])
        pages[at + 14 : at + 18] = struct.pack("<I", serial)
        pages[at + 22 : at + 26] = bytes(4)
        pages[at + 22 : at + 26] = struct.pack("<I", _ogg_crc(bytes(pages[at : at + size])))
        at += size
    return bytes(pages)


def _ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)
        crc &= 0xFFFFFFFF
    return crc


@BOTH_WAYS
@pytest.mark.parametrize("kind", JOINED)
def test_what_was_joined_says_all_of_its_words(
    kind: str, codec: UploadCodec, record: Record
) -> None:
    name, first, second = JOINED[kind]
    path, truth = record(name, LENGTH_S, **first)
    other, more = record(name, LENGTH_S, first_word=500, **second)
    data = other.read_bytes()
    if path.suffix in {".ogg", ".opus"}:
        data = renumbered(data, 77)
    found = cut(path.read_bytes() + data, plan_for(5.0, declared_s=16.0, codec=codec))
    # Encoders and decoders add up to a tenth of a second to the first one.
    assert found.counted_s == pytest.approx(2 * LENGTH_S, abs=0.25)
    assert_says(merged(found.pieces), truth + later(more, LENGTH_S), within_s=0.13)


@BOTH_WAYS
@pytest.mark.parametrize("kind", ["adts", "mp3"])
def test_parameters_that_come_back(kind: str, codec: UploadCodec, record: Record) -> None:
    name, first, second = JOINED[kind]
    path, truth = record(name, LENGTH_S, **first)
    other, more = record(name, LENGTH_S, first_word=500, **second)
    data = path.read_bytes() + other.read_bytes() + path.read_bytes()
    found = cut(data, plan_for(5.0, declared_s=24.0, codec=codec))
    words = [*truth, *later(more, LENGTH_S), *later(truth, 2 * LENGTH_S)]
    assert_says(merged(found.pieces), words, within_s=0.25)


@pytest.mark.parametrize("kind", ["vorbis", "opus channels"])
def test_the_length_of_a_chain_is_that_of_all_links(kind: str, record: Record) -> None:
    name, first, second = JOINED[kind]
    one, other = record(name, LENGTH_S, **first)[0], record(name, LENGTH_S, **second)[0]
    data = one.read_bytes() + renumbered(other.read_bytes(), 77)
    assert declared_s(data) == pytest.approx(2 * LENGTH_S, abs=0.1)


def transport_stream(path: Path, at_s: float) -> bytes:
    """The same packets in MPEG-TS whose clock begins at `at_s`."""
    target = io.BytesIO()
    with av.open(str(path)) as source, av.open(target, "w", format="mpegts") as output:
        stream = source.streams.audio[0]
        out = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size and packet.pts is not None:
                packet.pts = packet.dts = packet.pts + round(at_s / packet.time_base)
                packet.stream = out
                output.mux(packet)
    return target.getvalue()


@BOTH_WAYS
def test_a_clock_that_wraps(codec: UploadCodec, record: Record) -> None:
    """MPEG-TS counts 33 bits of 90 kHz: 26.5 hours."""
    path, truth = record("aac.m4a", LENGTH_S)
    data = transport_stream(path, 2**33 / 90_000 - 4.8)
    found = cut(data, plan_for(3.0, declared_s=declared_s(data), codec=codec))
    assert_says(merged(found.pieces), truth, within_s=0.06)
    assert found.counted_s == pytest.approx(LENGTH_S, abs=0.1)


@BOTH_WAYS
@pytest.mark.parametrize("at_s", [72_000.0, 30.0, 0.0])
def test_a_clock_that_jumps(at_s: float, codec: UploadCodec, record: Record) -> None:
    """Two transport streams that were joined, forward or back in time."""
    path, truth = record("aac.m4a", LENGTH_S)
    other, more = record("aac.m4a", LENGTH_S, first_word=500)
    data = transport_stream(path, 2.0) + transport_stream(other, at_s)
    assert declared_s(data) < 40
    found = cut(data, plan_for(5.0, declared_s=16.0, codec=codec))
    assert_says(merged(found.pieces), truth + later(more, LENGTH_S), within_s=0.13)
    assert found.counted_s == pytest.approx(2 * LENGTH_S, abs=0.2)


def edited(path: Path, edits: list[tuple[float, float]]) -> bytes:
    """An m4a with an edit list: (seconds that are played, from which second on)."""
    data = path.read_bytes()
    at = data.index(b"elst") - 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    movie = struct.unpack(">I", data[data.index(b"mvhd") + 16 :][:4])[0]
    media = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0]
    entries = b"".join(
        struct.pack(">Iihh", round(length * movie), round(start * media) + 1024, 1, 0)
        for length, start in edits
    )
    body = b"elst" + bytes(4) + struct.pack(">I", len(edits)) + entries
    new = struct.pack(">I", len(body) + 4) + body
    result = bytearray(data[:at] + new + data[at + size :])
    grown = len(new) - size
    for box in (b"moov", b"trak", b"edts"):
        k = result.index(box) - 4
        before = struct.unpack(">I", result[k : k + 4])[0]
        result[k : k + 4] = struct.pack(">I", before + grown)
    if data.index(b"mdat") > data.index(b"moov"):
        k = result.index(b"stco") + 4
        count = struct.unpack(">I", result[k + 4 : k + 8])[0]
        for index in range(count):
            o = k + 8 + 4 * index
            moved = struct.unpack(">I", result[o : o + 4])[0] + grown
            result[o : o + 4] = struct.pack(">I", moved)
    return bytes(result)


EDITS = {
    "a cut middle": [(3.0, 0.0), (7.0, 7.0)],
    "two cuts": [(2.0, 0.0), (3.0, 4.0), (4.0, 9.0)],
    "a cut beginning": [(9.0, 5.0)],
    "a cut end": [(6.0, 0.0)],
    "parts in another order": [(4.0, 8.0), (4.0, 1.0)],
}


@BOTH_WAYS
@pytest.mark.parametrize("name", EDITS)
def test_an_edit_list_is_followed_as_a_player_does(
    name: str, codec: UploadCodec, record: Record
) -> None:
    path, truth = record("edited.m4a", 14.0, sample_rate=16_000, channels=1)
    expected: list[HeardWord] = []
    border: list[HeardWord] = []
    played_s = 0.0
    for length_s, start_s in EDITS[name]:
        for word in truth:
            moved = later([word], played_s - start_s)[0]
            if word.end_s > start_s - 0.1 and word.start_s < start_s + length_s + 0.1:
                whole = word.start_s > start_s + 0.1 and word.end_s < start_s + length_s - 0.1
                (expected if whole else border).append(moved)
        played_s += length_s
    found = cut(edited(path, EDITS[name]), plan_for(5.0, declared_s=played_s, codec=codec))
    assert found.counted_s == pytest.approx(played_s, abs=0.15)
    said = {w.text: w for segment in merged(found.pieces).segments for w in segment.words}
    late = {
        word.text: said[word.text].start_s - word.start_s if word.text in said else "missing"
        for word in expected
        if word.text not in said or abs(said[word.text].start_s - word.start_s) > 0.07
    }
    assert late == {}
    whole_words = {text for text in said if "~" not in text and "?" not in text}
    assert whole_words <= {word.text for word in [*expected, *border]}
