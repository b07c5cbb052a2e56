"""How long a recording is: its sound, and nothing that its file cannot hold."""

from __future__ import annotations

import asyncio
import io
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from sttbatch.core.models import AudioFile, UploadCodec
from sttbatch.processing.media.media_workers import MediaWorkers
from tests.processing.conftest import Record

from .cutting import assert_says, cut, merged, plan_for
from .test_changing_streams import later
from .test_odd_recordings import shifted


def probed(path: Path) -> AudioFile:
    async def probe() -> AudioFile:
        async with MediaWorkers(path.parent, 1) as workers:
            return await workers.probe(path)

    return asyncio.run(probe())


def with_picture(path: Path, container: str, picture_s: int) -> bytes:
    """The same sound beside a picture that lasts longer."""
    target = io.BytesIO()
    with av.open(str(path)) as source, av.open(target, "w", format=container) as output:
        stream = source.streams.audio[0]
        show = output.add_stream("libvpx" if container == "webm" else "mpeg4", rate=1)
        assert isinstance(show, av.VideoStream)
        show.width = show.height = 64
        show.pix_fmt = "yuv420p"
        out = output.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.stream = out
                output.mux(packet)
        for second in range(picture_s):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = second, Fraction(1)
            output.mux(show.encode(frame))
        output.mux(show.encode(None))
    return target.getvalue()


@pytest.mark.parametrize(
    ("name", "container"),
    [("a.m4a", "matroska"), ("a.webm", "webm"), ("a.m4a", "mp4"), ("a.mp3", "avi")],
)
def test_a_picture_that_lasts_longer_is_no_sound(
    name: str, container: str, record: Record, tmp_path: Path
) -> None:
    """Or else the recording would be truncated for ever."""
    path, truth = record(name, 8.0)
    film = tmp_path / "film"
    film.write_bytes(with_picture(path, container, 20))
    file = probed(film)
    assert file.duration_s == pytest.approx(8.0, abs=0.1)
    found = cut(film, plan_for(5.0, declared_s=file.duration_s))
    assert found.counted_s == pytest.approx(8.0, abs=0.1)
    assert_says(merged(found.pieces), truth, within_s=0.06)


def test_subtitles_that_last_longer_are_no_sound(record: Record, tmp_path: Path) -> None:
    path, truth = record("a.m4a", 8.0)
    film, lines = tmp_path / "film.mkv", tmp_path / "lines.srt"
    lines.write_text("1\n00:00:16,000 --> 00:00:20,000\nThe end\n")
    with (
        av.open(str(film), "w") as output,
        av.open(str(path)) as sound,
        av.open(str(lines)) as text,
    ):
        streams = [(each, each.streams[0]) for each in (sound, text)]
        copies = [output.add_stream_from_template(stream) for _, stream in streams]
        for (source, stream), copy in zip(streams, copies, strict=True):
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = copy
                    output.mux(packet)
    file = probed(film)
    assert file.duration_s == pytest.approx(8.0, abs=0.1)
    found = cut(film, plan_for(5.0, declared_s=file.duration_s))
    assert found.counted_s == pytest.approx(8.0, abs=0.1)
    assert_says(merged(found.pieces), truth, within_s=0.06)


@pytest.mark.parametrize("codec", [UploadCodec.COPY, UploadCodec.FLAC])
def test_a_lone_track_that_begins_late(codec: UploadCodec, record: Record, tmp_path: Path) -> None:
    """0:00 is where the file says, and the length reaches from there to the end."""
    path, truth = record("a.m4a", 8.0)
    late = tmp_path / "late.mka"
    late.write_bytes(shifted(path, "matroska", ((-1.0, 5.0),)))
    file = probed(late)
    assert file.duration_s == pytest.approx(13.0, abs=0.1)
    found = cut(late, plan_for(5.0, declared_s=13.0, codec=codec))
    assert found.counted_s == pytest.approx(13.0, abs=0.1)
    assert_says(merged(found.pieces), later(truth, 5.0))


PIPED = (0, 2_000_000_000, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@pytest.mark.parametrize("length", PIPED)
def test_a_piped_wav_is_as_long_as_what_is_there(
    length: int, record: Record, tmp_path: Path
) -> None:
    path, truth = record("a.wav", 8.0, sample_rate=16_000, channels=1)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[4:8] = struct.pack("<I", min(length + 36, 0xFFFFFFFF) if length else 0)
    data[at : at + 4] = struct.pack("<I", length)
    piped = tmp_path / "piped.wav"
    piped.write_bytes(data)
    assert probed(piped).duration_s == pytest.approx(8.0, abs=0.1)
    found = cut(piped, plan_for(30.0, codec=UploadCodec.FLAC))
    assert_says(merged(found.pieces), truth)


def aiff(samples: bytes, rate: int, declared_bytes: int) -> bytes:
    exponent = rate.bit_length() - 1
    extended = struct.pack(">HQ", 16383 + exponent, rate << (63 - exponent))
    common = struct.pack(">hIh", 1, declared_bytes // 2, 16) + extended
    body = b"AIFFCOMM" + struct.pack(">I", len(common)) + common
    body += b"SSND" + struct.pack(">III", min(declared_bytes + 8, 0xFFFFFFFF), 0, 0)
    size = min(len(body) + declared_bytes, 0xFFFFFFFF)
    return b"FORM" + struct.pack(">I", size) + body + samples


@pytest.mark.parametrize("length", [0x7F000000, 0x7FFFFFFF, 2_000_000_000])
@pytest.mark.parametrize("rate", [8_000, 4_000])
def test_a_piped_aiff_is_as_long_as_what_is_there(length: int, rate: int, tmp_path: Path) -> None:
    """At 4 kHz it declares more hours than are read at all."""
    piped = tmp_path / "piped.aiff"
    piped.write_bytes(aiff(bytes(2 * rate * 3), rate, length))
    assert probed(piped).duration_s == pytest.approx(3.0, abs=0.1)


def test_a_wav_that_was_cut_off_still_says_so(record: Record, tmp_path: Path) -> None:
    path, _ = record("a.wav", 8.0, sample_rate=16_000, channels=1)
    data = path.read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    file = probed(tmp_path / "cut.wav")
    assert file.duration_s == pytest.approx(8.0, abs=0.1)
    assert not file.duration_is_estimate
