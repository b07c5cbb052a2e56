"""Limits, holes, late beginnings, silence, and recordings that are hardly any."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest
from msgspec.structs import replace

from sttbatch.core.models import UploadCodec
from sttbatch.core.options import MIB
from tests.cloudru import HeardWord
from tests.processing.conftest import Record

from .cutting import assert_says, cut, declared_s, merged, plan_for


def shifted(
    path: Path, container: str, jumps: tuple[tuple[float, float], ...], picture: bool = False
) -> bytes:
    """The same packets, all after `at_s` of each (at_s, by_s) later by `by_s`."""
    target = io.BytesIO()
    with av.open(str(path)) as source, av.open(target, "w", format=container) as output:
        stream = source.streams.audio[0]
        show = output.add_stream("mpeg4", rate=5) if picture else None
        out = output.add_stream_from_template(stream)
        if isinstance(show, av.VideoStream):
            show.width = show.height = 64
            show.pix_fmt = "yuv420p"
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = 0, Fraction(1, 5)
            output.mux(show.encode(frame))
            output.mux(show.encode(None))
        for packet in source.demux(stream):
            if not packet.size or packet.pts is None:
                continue
            at_s = float(packet.pts * packet.time_base)
            later_s = sum(by_s for from_s, by_s in jumps if at_s >= from_s)
            packet.pts = packet.dts = packet.pts + round(later_s / packet.time_base)
            packet.stream = out
            output.mux(packet)
    return target.getvalue()


def _later(words: list[HeardWord], jumps: tuple[tuple[float, float], ...]) -> list[HeardWord]:
    return [
        HeardWord(w.text, w.start_s + late_s, w.end_s + late_s)
        for w in words
        for late_s in [sum(by_s for at_s, by_s in jumps if w.start_s >= at_s)]
    ]


@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
@pytest.mark.parametrize(("name", "container"), [("aac.m4a", "matroska"), ("opus.webm", "webm")])
@pytest.mark.parametrize("by_s", [0.5, pytest.param(7.0, marks=pytest.mark.slow), 3000.0])
def test_a_hole_in_the_timestamps_moves_what_follows(
    name: str, container: str, by_s: float, codec: UploadCodec, record: Record
) -> None:
    """Times come from the timestamps, and a long hole is not cut into chunks."""
    path, truth = record(name, silences=((3.0, 1.0), (9.0, 1.0)))
    jumps = ((3.4, by_s), (9.9, by_s))
    data = shifted(path, container, jumps)
    found = cut(data, plan_for(4.0, declared_s=declared_s(data), codec=codec))
    assert_says(merged(found.pieces), _later(truth, jumps))
    assert found.counted_s == pytest.approx(14 + 2 * by_s, abs=0.1)
    assert len(found.pieces) <= 8


@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
def test_sound_that_begins_late_in_a_film(codec: UploadCodec, record: Record) -> None:
    path, truth = record("aac.m4a", words_per_sentence=2)
    late = ((-1.0, 6.0),)
    found = cut(shifted(path, "matroska", late, picture=True), plan_for(4.0, codec=codec))
    assert_says(merged(found.pieces), _later(truth, late))
    assert found.pieces[0].span.start_s == pytest.approx(6.0, abs=0.05)
    assert found.counted_s == pytest.approx(20.0, abs=0.1)


def test_timestamps_that_run_backwards_lose_nothing(record: Record) -> None:
    """Two recordings joined without care: the second goes on where the first one ended."""
    path, truth = record("16-khz.mp3", sample_rate=16_000, channels=1, write_xing=False)
    data = path.read_bytes()
    found = cut(data + data, plan_for(4.0))
    texts = [word.text for word in truth]
    assert merged(found.pieces).text.split() == texts + texts


@pytest.mark.parametrize("name", ["cbr.mp3", "pcm.wav", "aac.m4a", "opus.ogg"])
@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
def test_a_twentieth_of_a_second(name: str, codec: UploadCodec, record: Record) -> None:
    """Too short for any word and for the endpoint; it ends without an error."""
    path, _ = record(name, 0.05)
    copied = codec if name != "pcm.wav" else UploadCodec.FLAC
    found = cut(path, plan_for(300.0, declared_s=0.05, codec=copied))
    assert sum(piece.span.duration_s for piece in found.pieces) < 0.15
    assert found.counted_s == pytest.approx(0.05, abs=0.08)


@pytest.mark.parametrize("name", ["pcm.wav", "cbr.mp3", "flac.flac"])
def test_digital_silence_is_marked(name: str, record: Record) -> None:
    path, truth = record(name, 12.0, lead_silence_s=100.0)
    codec = UploadCodec.COPY if name == "cbr.mp3" else UploadCodec.FLAC
    found = cut(path, plan_for(4.0, declared_s=12.0, codec=codec))
    assert truth == []
    assert found.pieces
    assert all(piece.silent for piece in found.pieces)


def test_only_the_silent_chunks_are_marked(record: Record) -> None:
    """A word at the very end of a long silence is enough."""
    path, _ = record("pcm.wav", 16.0, silences=((3.0, 12.3),))
    plan = plan_for(4.0, declared_s=16.0, codec=UploadCodec.FLAC)
    silent = [piece.silent for piece in cut(path, plan).pieces]
    assert silent[0] is False
    assert silent[-1] is False
    assert True in silent


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        pytest.param("cbr.mp3", UploadCodec.COPY, marks=pytest.mark.slow),
        ("pcm.wav", UploadCodec.WAV),
    ],
)
def test_no_upload_is_larger_than_allowed(name: str, codec: UploadCodec, record: Record) -> None:
    """The size ends a chunk long before its target, and no word is lost over it."""
    how = {"bit_rate": 320_000} if codec is UploadCodec.COPY else {}
    path, truth = record(name, 40.0, sentence_pause_s=0.1, **how)
    limit = MIB * 5 // 8
    found = cut(path, plan_for(300.0, declared_s=40.0, codec=codec, max_bytes=limit))
    assert len(found.pieces) >= 3
    assert all(piece.upload.size_bytes <= limit for piece in found.pieces)
    assert_says(merged(found.pieces), truth)


@pytest.mark.slow
def test_the_size_limit_holds_between_stored_spans(record: Record) -> None:
    path, truth = record("cbr.mp3", 40.0, sentence_pause_s=0.1, bit_rate=320_000)
    whole = cut(path, plan_for(300.0)).pieces[0].span
    plan = plan_for(300.0, declared_s=40.0, max_bytes=MIB * 5 // 8)
    end = replace(whole.end, pts=whole.end.pts - 1)
    found = cut(path, replace(plan, kept=((end, whole.end),)))
    assert all(piece.upload.size_bytes <= plan.max_bytes for piece in found.pieces)
    assert_says(merged(found.pieces), truth)


@pytest.mark.parametrize("max_bytes", [0, 1, 50_000])
def test_an_absurd_size_limit_still_ends(max_bytes: int, record: Record) -> None:
    path, truth = record("pcm.wav", sentence_pause_s=0.1)
    plan = plan_for(300.0, codec=UploadCodec.FLAC, max_bytes=max_bytes)
    assert_says(merged(cut(path, plan).pieces), truth)


@pytest.mark.parametrize("longest_s", [3.0, 5.0, 8.0])
@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
def test_no_piece_lasts_longer_than_allowed(
    longest_s: float, codec: UploadCodec, record: Record
) -> None:
    path, truth = record("cbr.mp3", sentence_pause_s=0.1)
    plan = replace(plan_for(300.0, declared_s=14.0, codec=codec), max_piece_s=longest_s)
    pieces = cut(path, plan).pieces
    assert all(piece.span.duration_s <= longest_s for piece in pieces)
    if longest_s >= 5:
        assert all(piece.upload.duration_s <= longest_s + 0.06 for piece in pieces)
    assert_says(merged(pieces), truth)
