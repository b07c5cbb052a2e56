"""Every word once, in order, where it was said: through every format and way of cutting."""

from __future__ import annotations

import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.track import Track
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


# What other formats of the list have too: a codec in another container, a header that is missing.
RARE = {
    *((name, "pauses") for name in ("vbr.mp3", "no-xing.mp3", "film.mp4", "film.mkv", "opus.webm")),
    *((name, "no pause") for name in ("vbr.mp3", "no-xing.mp3", "16-khz.mp3", "film.mkv")),
    *((name, "pauses") for name in ("16-khz.mp3", "vorbis.mkv")),
    ("vorbis.mkv", "no pause"),
    ("cbr.mp3", "noise"),
    ("aac.m4a", "noise"),
}
# Each format is decoded, and copied if it can be; each kind of speech is cut in either way.
WAYS = [
    pytest.param(
        name,
        speech,
        codec,
        marks=[pytest.mark.slow]
        if (codec is UploadCodec.COPY) != (speech == "no pause") or (name, speech) in RARE
        else [],
    )
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


WRAPPED = {
    "nut": ("nut", "mp3", 44_100),
    "loas": ("latm", "aac", 44_100),
    "wtv": ("wtv", "mp2", 48_000),
    "mmf": ("mmf", "adpcm_yamaha", 8_000),
    "rm": ("rm", "real_144", 8_000),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "mxf": ("mxf", "pcm_s16le", 48_000),
    "gxf": ("gxf", "pcm_s16le", 48_000),
    "dv": ("dv", "pcm_s16le", 48_000),
}
"""Container, encoder and rate (Hz) of formats that broadcasters, recorders and telephones write."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("dv", "mxf", "gxf") else [])
        for name in WRAPPED
    ],
)
def test_formats_that_libavformat_reads_are_read(name: str, record: Record, tmp_path: Path) -> None:
    path, truth = record("plain.wav", 6.0, sample_rate=16_000, channels=1)
    target = tmp_path / f"a.{name}"
    write(path, target, *WRAPPED[name])
    with target.open("rb") as file, Track(Demuxer(file)) as track:
        described = track.audio_file(duration_is_estimate=False)
    found = cut(target, plan_for(4.0, declared_s=described.duration_s, codec=UploadCodec.FLAC))
    assert found.counted_s == pytest.approx(6.0, abs=0.2)
    assert described.duration_is_estimate or described.duration_s in (
        0.0,
        pytest.approx(6.0, abs=0.2),
    )
    assert_says(merged(found.pieces), truth, within_s=0.13)


def test_a_corpus_in_nist_sphere(record: Record, tmp_path: Path) -> None:
    path, truth = record("plain.wav", 6.0, sample_rate=16_000, channels=1)
    with wave.open(str(path)) as file:
        count, samples = file.getnframes(), file.readframes(file.getnframes())
    head = (
        f"NIST_1A\n   1024\nsample_count -i {count}\nsample_n_bytes -i 2\nchannel_count -i 1\n"
        "sample_byte_format -s2 01\nsample_rate -i 16000\nsample_coding -s3 pcm\nend_head\n"
    )
    target = tmp_path / "a.sph"
    target.write_bytes(head.encode().ljust(1024) + samples)
    found = cut(target, plan_for(4.0, declared_s=declared_s(target), codec=UploadCodec.FLAC))
    assert_says(merged(found.pieces), truth)


def test_a_call_in_raw_gsm(tmp_path: Path) -> None:
    """Frames of 33 bytes and 20 ms; no encoder here writes them, so these hold a tone."""
    target = tmp_path / "a.gsm"
    target.write_bytes(
        (b"\xd8\x20\xa2\xe1\x5a\x50" + 3 * b"\x3f\x24\x92\x49\xb4\xdb\x6d\xb6\x49") * 300
    )
    assert declared_s(target) == pytest.approx(6.0, abs=0.1)
    found = cut(target, plan_for(4.0, declared_s=6.0, codec=UploadCodec.FLAC))
    assert found.counted_s == pytest.approx(6.0, abs=0.1)
    assert not any(piece.silent for piece in found.pieces)


def write(source: Path, target: Path, container: str, codec: str, rate: int) -> None:
    """Encode a recording, beside a picture where the format has to have one."""
    layout = "stereo" if container == "dv" else "mono"
    with av.open(str(source)) as heard, av.open(str(target), "w", format=container) as output:
        show = None
        if container in {"mxf", "gxf", "dv"}:
            show = output.add_stream("dvvideo" if container == "dv" else "mpeg2video", rate=25)
            assert isinstance(show, av.VideoStream)
            show.width, show.height, show.pix_fmt = 720, 576, "yuv420p"
        out = output.add_stream(codec, rate=rate)
        assert isinstance(out, av.AudioStream)
        out.layout = layout
        formats = out.codec_context.codec.audio_formats or []
        resampler = av.AudioResampler(
            formats[0].name if formats else "s16",
            layout,
            rate,
            out.codec_context.frame_size or 1024,
        )
        if isinstance(show, av.VideoStream):
            for index in range(25 * 6):
                picture = av.VideoFrame(720, 576, "yuv420p")
                picture.pts = index
                output.mux(show.encode(picture))
            output.mux(show.encode(None))
        for frame in [*heard.decode(audio=0), None]:
            for part in resampler.resample(frame):
                output.mux(out.encode(part))
        output.mux(out.encode(None))
