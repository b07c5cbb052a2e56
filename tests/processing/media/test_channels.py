"""Each channel of a recording, cut and heard on its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from sttbatch.core.models import UploadCodec
from sttbatch.processing.transcript.result_merger import ResultMerger
from tests.calls import make_call
from tests.cloudru import hear

from .cutting import assert_says, cut, merged, outcomes, plan_for, words_of

LEFT = {"duration_s": 14.0, "sentence_pause_s": 0.5}
RIGHT = {"duration_s": 11.0, "lead_silence_s": 0.9, "words_per_sentence": 3}
SAMPLES = ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le"]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", None), ("a.flac", None), *((f"{c}.wav", c) for c in SAMPLES)]
)
def test_a_channel_says_its_own_words(name: str, codec: str | None, tmp_path: Path) -> None:
    """Whatever its samples look like, packed or planar; the other channel is not heard."""
    truths = make_call(tmp_path / name, LEFT, RIGHT, codec=codec)
    plan = plan_for(5.0, declared_s=14.0, codec=UploadCodec.FLAC)
    for channel, truth in enumerate(truths, 1):
        found = cut(tmp_path / name, replace(plan, channel=channel))
        assert found.counted_s == pytest.approx(14.0, abs=0.1)
        assert {piece.span.channel for piece in found.pieces} == {channel}
        assert_says(merged(found.pieces), truth)


def test_channels_are_other_audio_than_their_mix(tmp_path: Path) -> None:
    """Cut over the same packets, each has its own key."""
    make_call(tmp_path / "call.mp3", LEFT, LEFT)
    plan = plan_for(30.0, declared_s=14.0, codec=UploadCodec.FLAC)
    keys = [
        piece.audio_sha256
        for channel in (0, 1, 2)
        for piece in cut(tmp_path / "call.mp3", replace(plan, channel=channel)).pieces
    ]
    assert len(set(keys)) == len(keys) == 3


def test_a_channel_that_is_not_there_is_silent(tmp_path: Path) -> None:
    """As where a stream turns mono on its way: its words must not be there twice."""
    make_call(tmp_path / "call.wav", LEFT)
    plan = plan_for(30.0, declared_s=14.0, codec=UploadCodec.FLAC)
    (piece,) = cut(tmp_path / "call.wav", replace(plan, channel=2)).pieces
    assert piece.silent
    assert hear(piece.upload.open().read()).words == ()


def test_sixteen_channels(tmp_path: Path) -> None:
    silent = [None] * 14
    truths = make_call(tmp_path / "room.wav", LEFT, *silent, RIGHT)
    plan = plan_for(30.0, declared_s=14.0, codec=UploadCodec.FLAC)
    (piece,) = cut(tmp_path / "room.wav", replace(plan, channel=16)).pieces
    assert_says(merged([piece]), truths[-1])


def test_what_is_said_at_once_is_there_for_each(tmp_path: Path) -> None:
    """Channels are joined each on its own, overlapping cuts and all, and merged by time."""
    said = {"duration_s": 14.0, "sentence_pause_s": 0.1}
    truths = make_call(tmp_path / "call.wav", said, said)
    found = []
    for channel, target_s in ((1, 4.0), (2, 6.0)):
        plan = plan_for(target_s, declared_s=14.0, codec=UploadCodec.FLAC)
        pieces = cut(tmp_path / "call.wav", replace(plan, channel=channel)).pieces
        assert any(piece.span.start.overlap for piece in pieces)
        found += outcomes(pieces)
    transcript = ResultMerger().merge(found, 14.0)
    for speaker, truth in zip("12", truths, strict=True):
        segments = tuple(s for s in transcript.segments if s.speaker == speaker)
        assert_says(replace(transcript, segments=segments), truth)
    assert len(words_of(transcript)) == sum(map(len, truths))
    starts = [segment.start_s for segment in transcript.segments]
    assert starts == sorted(starts)
    assert sorted({chunk.channel for chunk in transcript.chunks}) == [1, 2]
