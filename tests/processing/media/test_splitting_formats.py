"""Every word once, in order, where it was said: through every format and way of cutting."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from sttbatch.core.models import UploadCodec
from tests.processing.conftest import Record

from .cutting import assert_says, cut, declared_s, merged, plan_for

FORMATS: dict[str, dict[str, Any]] = {
    "cbr.mp3": {"bit_rate": 64_000},
    "vbr.mp3": {"vbr_quality": 5},
    "no-xing.mp3": {"write_xing": False},
    "vbr-no-xing.mp3": {"write_xing": False, "vbr_quality": 5},
    "16-khz.mp3": {"sample_rate": 16_000, "channels": 1},
    "aac.m4a": {},
    "adts.aac": {},
    "opus.ogg": {},
    "vorbis.ogg": {"codec": "vorbis", "sample_rate": 44_100},
    "flac.flac": {},
    "pcm.wav": {},
    "telephone.wav": {"sample_rate": 8_000, "channels": 1, "codec": "pcm_mulaw"},
    "opus.webm": {},
    "vorbis.mkv": {"codec": "vorbis", "sample_rate": 44_100},
    "film.mp4": {"video": True},
    "film.mkv": {"video": True},
}
NOT_COPIED = {"flac.flac", "pcm.wav", "telephone.wav"}
SPEECH: dict[str, dict[str, Any]] = {
    "pauses": {"words_per_sentence": 2},
    "no pause": {"sentence_pause_s": 0.1},
    "noise": {"sentence_pause_s": 0.1, "noise": 0.01},
}
TARGET_S = 5.0
LENGTH_S = 14.0


WAYS = [
    (name, speech, codec)
    for name in FORMATS
    for speech in SPEECH
    for codec in (UploadCodec.COPY, UploadCodec.FLAC)
    if codec is UploadCodec.FLAC or name not in NOT_COPIED
    # Noise changes where cuts fall, not how they are made.
    if speech != "noise" or name in ("cbr.mp3", "aac.m4a", "pcm.wav")
]


@pytest.mark.parametrize(("name", "speech", "codec"), WAYS)
def test_every_word_is_there_once(
    name: str, speech: str, codec: UploadCodec, record: Record
) -> None:
    path, truth = record(name, **FORMATS[name], **SPEECH[speech])
    found = cut(path, plan_for(TARGET_S, declared_s=declared_s(path), codec=codec))
    assert len(found.pieces) >= 3
    assert_says(merged(found.pieces), truth)
    assert found.counted_s == pytest.approx(LENGTH_S, abs=0.1)
    assert all(piece.span.duration_s < 1.5 * TARGET_S for piece in found.pieces)
    cuts = [piece.span.end for piece in found.pieces[:-1]]
    assert [boundary.overlap for boundary in cuts] == [speech != "pauses"] * len(cuts)
    if speech == "pauses":
        for piece in found.pieces[:-1]:
            at_s = piece.span.end_s
            assert not [word for word in truth if word.start_s - 0.02 < at_s < word.end_s + 0.02]


@pytest.mark.parametrize("codec", [UploadCodec.OPUS, UploadCodec.WAV])
@pytest.mark.parametrize("name", ["cbr.mp3", "flac.flac", "telephone.wav", "film.mp4"])
def test_other_upload_codecs_lose_nothing(name: str, codec: UploadCodec, record: Record) -> None:
    path, truth = record(name, **FORMATS[name], **SPEECH["no pause"])
    found = cut(path, plan_for(TARGET_S, declared_s=declared_s(path), codec=codec))
    assert_says(merged(found.pieces), truth)


@pytest.mark.parametrize("name", ["cbr.mp3", "opus.webm", "flac.flac"])
def test_words_without_times_are_there_once(name: str, record: Record) -> None:
    path, truth = record(name, **FORMATS[name], **SPEECH["no pause"])
    codec = UploadCodec.FLAC if name in NOT_COPIED else UploadCodec.COPY
    found = cut(path, plan_for(TARGET_S, declared_s=20, codec=codec))
    transcript = merged(found.pieces, word_times=False)
    assert transcript.text.split() == [word.text for word in truth]


@pytest.mark.parametrize("declared", [0.0, 3.0, 14.0, 60.0])
@pytest.mark.parametrize("name", ["vbr-no-xing.mp3", "pcm.wav"])
def test_a_declared_duration_may_lie(name: str, declared: float, record: Record) -> None:
    """What is planned with need not be true; the count at the end is."""
    path, truth = record(name, **FORMATS[name], **SPEECH["pauses"])
    codec = UploadCodec.FLAC if name in NOT_COPIED else UploadCodec.COPY
    found = cut(path, plan_for(TARGET_S, declared_s=declared, codec=codec))
    assert_says(merged(found.pieces), truth)
    assert found.counted_s == pytest.approx(LENGTH_S, abs=0.1)
    assert all(piece.span.duration_s < 1.5 * TARGET_S for piece in found.pieces)


@pytest.mark.parametrize("name", ["cbr.mp3", "flac.flac", "pcm.wav", "opus.ogg", "adts.aac"])
def test_a_truncated_recording_is_cut_up_to_where_it_ends(name: str, record: Record) -> None:
    path, truth = record(name, **FORMATS[name], **SPEECH["pauses"])
    data = path.read_bytes()
    codec = UploadCodec.FLAC if name in NOT_COPIED else UploadCodec.COPY
    found = cut(data[: len(data) // 2], plan_for(TARGET_S, declared_s=LENGTH_S, codec=codec))
    assert 4 < found.counted_s < 10
    there = [word for word in truth if word.end_s < found.counted_s - 0.2]
    words = merged(found.pieces).text.split()
    assert words[: len(there)] == [word.text for word in there]


@pytest.mark.parametrize("name", ["cbr.mp3", "pcm.wav"])
def test_spans_touch_and_cover_everything(name: str, record: Record) -> None:
    path, _ = record(name, **FORMATS[name], **SPEECH["pauses"])
    codec = UploadCodec.FLAC if name in NOT_COPIED else UploadCodec.COPY
    spans = [p.span for p in cut(path, plan_for(TARGET_S, codec=codec)).pieces]
    assert spans[0].start_s == 0.0
    assert all(before.end == after.start for before, after in pairwise(spans))
    assert [span.index for span in spans] == list(range(len(spans)))
