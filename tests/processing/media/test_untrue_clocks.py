"""Packets without durations, clocks that count in another unit, and lengths that follow from it."""

from __future__ import annotations

import io

import numpy as np
import pytest

from sttbatch.core.errors import MediaError
from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.track import Track
from tests.encoding import Samples16, encode
from tests.slow.recordings import say

from .cutting import assert_says, cut, declared_s, merged, plan_for


def encoded(samples: Samples16, muxer: str, codec: str, rate: int, bit_rate: int = 0) -> bytes:
    target = io.BytesIO()
    encode(target, samples, codec, rate, muxer=muxer, bit_rate=bit_rate or None)
    return target.getvalue()


@pytest.mark.parametrize(
    ("muxer", "codec", "rate"),
    [
        ("matroska", "alac", 16_000),
        ("matroska", "wavpack", 8_000),
        ("nut", "adpcm_ms", 16_000),
        ("avi", "adpcm_ms", 16_000),
        ("avi", "g722", 16_000),
        ("avi", "eac3", 48_000),
    ],
)
def test_every_word_is_there_once(muxer: str, codec: str, rate: int) -> None:
    samples, words = say(rate, 0, 12.0)
    data = encoded(samples, muxer, codec, rate)
    found = cut(data, plan_for(3.0, declared_s=12.0, codec=UploadCodec.FLAC))
    assert len(found.pieces) > 2
    assert_says(merged(found.pieces), words, within_s=0.06)
    assert found.counted_s == pytest.approx(12.0, abs=0.3)
    assert declared_s(data) == pytest.approx(12.0, abs=0.3)


def test_packets_with_neither_times_nor_durations_are_named() -> None:
    data = encoded(say(22_050, 0, 3.0)[0], "wav", "adpcm_swf", 22_050)
    with (
        Track(Demuxer(io.BytesIO(data))) as track,
        pytest.raises(MediaError, match="neither timestamps"),
    ):
        list(track.packets())


def test_three_microphones_in_a_codec_without_a_layout() -> None:
    """libavcodec takes the third channel for low-frequency effects."""
    samples, words = say(16_000, 0, 6.0)
    room = np.stack([samples * 0, samples * 0, samples], axis=1)
    data = encoded(room, "tta", "tta", 16_000)
    found = cut(data, plan_for(30.0, codec=UploadCodec.FLAC))
    assert_says(merged(found.pieces), words)
