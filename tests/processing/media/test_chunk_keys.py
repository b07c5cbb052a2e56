"""`audio_sha256` stands for what is heard: the same packets, whatever they are wrapped in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.models import CutPoint, UploadCodec
from tests.processing.conftest import Record
from tests.remuxing import remux

from .cutting import cut, plan_for


def remuxed(path: Path, container: str) -> bytes:
    """The same packets in another container."""
    target = io.BytesIO()
    remux(path, target, container)
    return target.getvalue()


def keys(
    source: Path | bytes, codec: UploadCodec = UploadCodec.COPY, target_s: float = 4.0
) -> list[str]:
    plan = plan_for(target_s, declared_s=14.0, codec=codec)
    return [piece.audio_sha256 for piece in cut(source, plan).pieces]


@pytest.mark.parametrize(
    ("name", "container", "target_s"),
    [
        ("aac.m4a", "mov", 4.0),
        ("opus.webm", "ogg", 4.0),
        # These forget the encoder's delay, so that cuts may fall a packet later.
        ("aac.m4a", "matroska", 60.0),
        ("cbr.mp3", "matroska", 60.0),
        ("cbr.mp3", "mp4", 60.0),
    ],
)
def test_another_container_gives_the_same_keys(
    name: str, container: str, target_s: float, record: Record
) -> None:
    path, _ = record(name, words_per_sentence=2)
    assert keys(remuxed(path, container), target_s=target_s) == keys(path, target_s=target_s)


@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
def test_keys_are_the_same_in_each_run(codec: UploadCodec, record: Record) -> None:
    path, _ = record("cbr.mp3", words_per_sentence=2)
    found = keys(path, codec)
    assert found == keys(path, codec)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("cbr.mp3", {}),
        pytest.param("aac.m4a", {}, marks=pytest.mark.slow),
        pytest.param("opus.webm", {}, marks=pytest.mark.slow),
        pytest.param(
            "vorbis.ogg", {"codec": "vorbis", "sample_rate": 44_100}, marks=pytest.mark.slow
        ),
    ],
)
def test_a_copy_and_an_encoded_chunk_share_key_and_timeline(
    name: str, how: dict[str, object], record: Record
) -> None:
    """An answer stored for one is right for the other, to a few milliseconds."""
    path, _ = record(name, sentence_pause_s=0.1, **how)
    plan = plan_for(4.0, declared_s=14.0)
    copies = cut(path, plan).pieces
    for at, copy in enumerate(copies):
        others = tuple((p.span.start, p.span.end) for p in copies[:at] + copies[at + 1 :])
        for codec in (UploadCodec.FLAC, UploadCodec.OPUS):
            (encoded,) = cut(path, replace(plan, codec=codec, kept=others)).pieces
            assert encoded.audio_sha256 == copy.audio_sha256
            shifts = [
                pair[1] - pair[0] for piece in (copy, encoded) for pair in piece.span.time_map
            ]
            assert max(shifts) - min(shifts) < 0.005
            assert encoded.upload.duration_s == pytest.approx(copy.upload.duration_s, abs=0.05)


def test_other_audio_has_other_keys(record: Record) -> None:
    path, _ = record("pcm.wav", words_per_sentence=2)
    data = bytearray(path.read_bytes())
    before = keys(bytes(data), UploadCodec.FLAC)
    data[len(data) // 2] ^= 1
    changed = [a != b for a, b in zip(before, keys(bytes(data), UploadCodec.FLAC), strict=True)]
    assert sum(changed) == 1


def test_where_a_cut_falls_within_a_packet_is_part_of_the_key(record: Record) -> None:
    path, _ = record("flac.flac", words_per_sentence=2)
    plan = plan_for(4.0, declared_s=14.0, codec=UploadCodec.FLAC)
    first, second, *_ = (piece.span for piece in cut(path, plan).pieces)
    moved = replace(second.start, pts=second.start.pts + 10)
    (one,) = cut(path, replace(plan, target_s=60.0, kept=((second.start, _end(path)),))).pieces
    (two,) = cut(path, replace(plan, target_s=60.0, kept=((moved, _end(path)),))).pieces
    assert one.span.start == two.span.start == first.start
    assert one.audio_sha256 != two.audio_sha256


def _end(path: Path) -> CutPoint:
    whole = plan_for(60.0, codec=UploadCodec.FLAC)
    return cut(path, whole).pieces[-1].span.end
