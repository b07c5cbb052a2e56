"""Several audio streams in one file: which is transcribed, and what is said of the others."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from sttbatch.processing.media.stream_choice import choose_stream
from tests.cloudru import HeardWord, make_recording
from tests.encoding import encode
from tests.shell import Shell, texts, words_of
from tests.speech import at_peak, melody, spoken

RATE_HZ = 16_000


def make_film(path: Path, *speakers: int | None, default: int) -> dict[int, list[HeardWord]]:
    """A track for each: words from a number on, or silence (None); the words of each."""
    truths: dict[int, list[HeardWord]] = {}
    tracks = [np.zeros(6 * RATE_HZ, np.int16) for _ in speakers]
    for index, first_word in enumerate(speakers):
        if first_word is not None:
            alone = path.with_suffix(".wav")
            truths[index] = make_recording(
                alone, duration_s=6.0, channels=1, sample_rate=RATE_HZ, first_word=first_word
            )
            with wave.open(str(alone)) as file:
                tracks[index] = np.frombuffer(file.readframes(file.getnframes()), np.int16)
            alone.unlink()
    encode(path, tracks, "flac", RATE_HZ, default=default)
    return truths


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "default", "chosen", "note"),
    [
        ((None, 0), 0, 1, "its audio stream 1 is transcribed (--audio-stream"),
        ((0, 500), 1, 1, "its audio stream 1 is transcribed; sound is on 0 too"),
        ((0, 500), 0, 0, "its audio stream 0 is transcribed; sound is on 1 too"),
        ((0, None), 1, 0, None),
    ],
)
def test_the_stream_with_sound_is_transcribed(
    speakers: tuple[int | None, ...],
    default: int,
    chosen: int,
    note: str | None,
    shell: Shell,
    folder: Path,
) -> None:
    truths = make_film(folder / "film.mkv", *speakers, default=default)
    result = shell.transcribe(folder)
    assert result.code == 0, result.err
    assert words_of(folder / "film.json") == texts(truths[chosen])
    assert (note or "audio-stream") in result.err if note else "audio-stream" not in result.err
    assert shell.endpoint is not None
    sent = len(shell.endpoint.received)
    again = shell.transcribe(folder)
    assert again.code == 0, again.err
    assert len(shell.endpoint.received) == sent
    if 1 - chosen in truths:
        other = shell.transcribe(folder, "--audio-stream", str(1 - chosen))
        assert other.code == 0, other.err
        assert words_of(folder / "film.json") == texts(truths[1 - chosen])


@pytest.mark.parametrize(
    ("default", "speaking", "chosen", "others"),
    [
        pytest.param(0, (1,), 1, (), marks=pytest.mark.slow),
        (2, (0, 1, 2), 2, (0, 1)),
        pytest.param(1, (0, 1), 1, (0,), marks=pytest.mark.slow),
        pytest.param(0, (1, 2), 1, (2,), marks=pytest.mark.slow),
    ],
)
def test_a_stream_with_speech_comes_before_one_with_music(
    default: int, speaking: tuple[int, ...], chosen: int, others: tuple[int, ...], tmp_path: Path
) -> None:
    """Quiet speech, beside music on the other channel; it begins after half a minute."""
    music, voice = melody(45.0), at_peak(spoken(10.0), -50.0)
    path = tmp_path / "film.mkv"
    tracks = []
    for index in range(3):
        right = np.zeros_like(music)
        if index in speaking:
            right[-len(voice) :] = voice
        tracks.append(np.round(np.stack([music, right], axis=1) * 32767).astype(np.int16))
    encode(path, tracks, "flac", RATE_HZ, default=default)
    with path.open("rb") as file:
        assert choose_stream(file) == (chosen, others, True)


def test_other_streams_with_speech_are_named_as_such(shell: Shell, folder: Path) -> None:
    said = np.round(spoken(6.0) * 32767).astype(np.int16)
    encode(folder / "film.mkv", [said, said], "flac", RATE_HZ, default=1)
    result = shell.transcribe(folder, "--dry-run")
    assert "its audio stream 1 is transcribed; speech is on 0 too" in result.err
