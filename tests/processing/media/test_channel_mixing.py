"""Every channel is heard, whatever a file says of its loudspeakers and of its polarity."""

from __future__ import annotations

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sttbatch.core.models import UploadCodec
from tests.cloudru import HeardWord, make_recording
from tests.processing.conftest import Record

from .cutting import assert_says, cut, merged, plan_for

RATE_HZ = 16_000


def samples(path: Path) -> NDArray[np.int16]:
    with av.open(str(path)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def speech(folder: Path, **how: float) -> tuple[NDArray[np.int16], list[HeardWord]]:
    path = folder / "speech.wav"
    truth = make_recording(path, duration_s=6.0, channels=1, sample_rate=RATE_HZ, **how)  # type: ignore[arg-type]
    return samples(path), truth


def write_wav(path: Path, channels: list[NDArray[np.int16]]) -> None:
    """Without a mask that names loudspeakers, as recorders write it."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.stack(channels, axis=1).tobytes())


def encode(path: Path, left: NDArray[np.int16], right: NDArray[np.int16], codec: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "stereo"
        for at in range(0, len(left), RATE_HZ):
            both = np.stack([left, right], axis=1)[at : at + RATE_HZ]
            block = np.ascontiguousarray(both).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("count", [3, 6, 8, 9, 11, 16])
def test_each_microphone_of_a_recorder_is_heard(count: int, tmp_path: Path) -> None:
    """The low-frequency loudspeaker of 5.1 is the fourth channel, and no microphone is one."""
    said, truth = speech(tmp_path)
    for place in {2, 3, count - 1} & set(range(count)):
        channels = [np.zeros_like(said)] * count
        channels[place] = said
        write_wav(tmp_path / "room.wav", channels)
        found = cut(tmp_path / "room.wav", plan_for(30.0, codec=UploadCodec.FLAC))
        assert not any(piece.silent for piece in found.pieces)
        assert_says(merged(found.pieces), truth)


@pytest.mark.parametrize("count", [2, 5])
def test_inverted_polarity_cancels_nothing(count: int, tmp_path: Path) -> None:
    said, truth = speech(tmp_path)
    write_wav(tmp_path / "a.wav", [said, -said, *[np.zeros_like(said)] * (count - 2)])
    found = cut(tmp_path / "a.wav", plan_for(30.0, codec=UploadCodec.FLAC))
    assert not found.pieces[0].silent
    assert_says(merged(found.pieces), truth)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.ogg", "libopus")]
)
def test_what_would_cancel_at_the_recogniser_is_not_copied(
    name: str, codec: str, tmp_path: Path
) -> None:
    said, truth = speech(tmp_path)
    encode(tmp_path / name, said, -said, codec)
    found = cut(tmp_path / name, plan_for(3.0, declared_s=6.0))
    assert {piece.upload.codec for piece in found.pieces} == {"flac"}
    assert not any(piece.silent for piece in found.pieces)
    assert_says(merged(found.pieces), truth, within_s=0.06)


def test_a_voice_in_one_channel_is_copied(tmp_path: Path) -> None:
    said, truth = speech(tmp_path)
    encode(tmp_path / "a.ogg", said, np.zeros_like(said), "libopus")
    found = cut(tmp_path / "a.ogg", plan_for(30.0, declared_s=6.0))
    assert [piece.upload.codec for piece in found.pieces] == ["opus"]
    assert_says(merged(found.pieces), truth)


def test_an_upload_that_is_not_copied_has_the_key_of_a_copy(tmp_path: Path) -> None:
    """Either way of uploading finds the other's transcription, at the same seconds."""
    said, _ = speech(tmp_path)
    encode(tmp_path / "a.m4a", said, -said, "aac")
    copied, encoded = (
        cut(tmp_path / "a.m4a", plan_for(3.0, declared_s=6.0, codec=codec)).pieces
        for codec in (UploadCodec.COPY, UploadCodec.FLAC)
    )
    assert [each.audio_sha256 for each in copied] == [each.audio_sha256 for each in encoded]
    for one, other in zip(copied, encoded, strict=True):
        assert one.upload.duration_s == pytest.approx(other.upload.duration_s, abs=0.01)
        assert one.span.time_map[0] == pytest.approx(other.span.time_map[0], abs=0.01)


def test_loudspeakers_that_a_file_names_are_mixed_as_in_a_cinema(
    record: Record, tmp_path: Path
) -> None:
    """The words in the centre are heard; the low-frequency effects are no part of the mix."""
    said, truth = speech(tmp_path)
    path = tmp_path / "film.wav"
    write_wav(path, [np.zeros_like(said)] * 2 + [said, said[::-1].copy()] + [said * 0] * 2)
    data = path.read_bytes()
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    extended = struct.pack("<HHI", 22, 16, 0x3F) + guid
    fmt = struct.pack("<H", 0xFFFE) + data[22:36] + extended
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + data[36:]
    found = cut(
        b"RIFF" + struct.pack("<I", len(body)) + body, plan_for(30.0, codec=UploadCodec.FLAC)
    )
    assert_says(merged(found.pieces), truth)
