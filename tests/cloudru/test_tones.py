"""The recordings say what their truth says, through every format, and cuts show as cuts."""

from __future__ import annotations

import wave
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .tones import NotAudioError, Script, hear, make_recording

FORMATS: dict[str, dict[str, Any]] = {
    "cbr.mp3": {},
    "cbr-32k.mp3": {"bit_rate": 32_000},
    "vbr.mp3": {"vbr_quality": 5},
    "no-xing.mp3": {"write_xing": False},
    "vbr-no-xing.mp3": {"write_xing": False, "vbr_quality": 5},
    "16-khz.mp3": {"sample_rate": 16_000, "channels": 1, "write_xing": False},
    "aac.m4a": {},
    "aac-32k.m4a": {"bit_rate": 32_000, "channels": 1},
    "adts.aac": {},
    "opus.ogg": {},
    "opus-32k.ogg": {"bit_rate": 32_000},
    "opus-16-khz.ogg": {"sample_rate": 16_000, "channels": 1, "bit_rate": 32_000},
    "vorbis.ogg": {"codec": "vorbis", "sample_rate": 44_100},
    "flac.flac": {},
    "pcm.wav": {},
    "telephone.wav": {"sample_rate": 8_000, "channels": 1, "codec": "pcm_mulaw"},
    "opus.webm": {},
    "film.mp4": {"video": True},
    "film.mkv": {"video": True},
    "noisy.mp3": {"noise": 0.02, "word_gap_s": 0.05, "sentence_pause_s": 0.05},
}


USUAL = {"cbr.mp3", "aac.m4a", "opus.ogg", "pcm.wav", "telephone.wav"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in USUAL else [pytest.mark.slow]) for name in FORMATS],
)
def test_every_word_is_heard_where_it_was_said(name: str, tmp_path: Path) -> None:
    """Each word once, in order, its edges within 10 ms; the duration within 100 ms."""
    path = tmp_path / name
    truth = make_recording(path, duration_s=12, first_word=0x0FF0, **FORMATS[name])
    heard = hear(path.read_bytes())
    assert [word.text for word in heard.words] == [word.text for word in truth]
    assert len(truth) > 20
    assert [word.start_s for word in heard.words] == pytest.approx(
        [word.start_s for word in truth], abs=0.010
    )
    assert [word.end_s for word in heard.words] == pytest.approx(
        [word.end_s for word in truth], abs=0.010
    )
    assert heard.duration_s == pytest.approx(12, abs=0.1)
    assert heard.has_video == ("video" in FORMATS[name])


def test_silences_and_sentences_are_where_they_were_asked_for() -> None:
    script = Script(
        12, words_per_sentence=2, lead_silence_s=1, silences=((3.0, 4.0),), first_word=7
    )
    words = list(script.words())
    assert [word.text for word in words[:4]] == ["0007", "0008", "0009", "000a"]
    starts_s = [1.0, 1.46, 2.42, 2.88, 7.84, 8.3, 9.26, 9.72, 10.68, 11.14]
    assert [word.start_s for word in words] == pytest.approx(starts_s)


@pytest.mark.parametrize(
    ("cut_s", "left", "right"),
    [
        (0.005, [], "1a2c"),
        (0.040, [], "~1a2c"),
        (0.060, ["1~"], "~a2c"),
        (0.140, ["1a~"], "~2c"),
        (0.200, ["1a~"], "~2c"),
        (0.300, ["1a2~"], "~c"),
        (0.325, ["1a2c~"], None),
        (0.355, ["1a2c"], None),
    ],
)
def test_a_cut_word_is_heard_as_a_fragment(
    cut_s: float, left: list[str], right: str | None, tmp_path: Path
) -> None:
    """On both sides of a cut, and never as a whole word unless all of its digits are there."""
    pcm, start = _second_word(tmp_path)
    at = start + round(cut_s * 16_000)
    before = [word.text for word in hear(_wav(pcm[:at])).words]
    after = [word.text for word in hear(_wav(pcm[at:])).words]
    assert before == ["1a2b", *left]
    assert after == ([] if right is None else [right]) + ["1a2d", "1a2e", "1a2f"]


def test_a_word_that_goes_on_twice_is_no_word(tmp_path: Path) -> None:
    """A join that repeats 100 ms within a word gives a fragment, open on both sides."""
    pcm, start = _second_word(tmp_path)
    joined = np.concatenate([pcm[: start + 3200], pcm[start + 1600 :]])
    assert [word.text for word in hear(_wav(joined)).words][:2] == ["1a2b", "~1aa2c~"]


@pytest.mark.parametrize("level", [0, 3000], ids=["silence", "noise"])
def test_no_words_in_silence_and_noise(level: int) -> None:
    noise = np.random.default_rng(1).normal(0, level, 48_000).astype(np.int16)
    heard = hear(_wav(noise))
    assert heard.words == ()
    assert heard.duration_s == pytest.approx(3, abs=0.001)


@pytest.mark.parametrize("data", [b"", b"no recording at all" * 100], ids=["empty", "text"])
def test_what_is_no_recording_is_refused(data: bytes) -> None:
    with pytest.raises(NotAudioError):
        hear(data)


@pytest.mark.slow
def test_minutes_are_heard_to_the_last_word(tmp_path: Path) -> None:
    path = tmp_path / "long.mp3"
    truth = make_recording(path, duration_s=120, sample_rate=16_000, channels=1)
    heard = hear(path.read_bytes())
    assert [word.text for word in heard.words] == [word.text for word in truth]


def _second_word(folder: Path) -> tuple[NDArray[np.int16], int]:
    """Five words at 16 kHz and the sample at which the second one (1a2c) begins."""
    path = folder / "words.wav"
    truth = make_recording(path, duration_s=2.6, channels=1, sample_rate=16_000, first_word=0x1A2B)
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return pcm, round(truth[1].start_s * 16_000)


def _wav(pcm: NDArray[np.int16]) -> bytes:
    """A mono WAV file at 16 kHz."""
    data = BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm.tobytes())
    return data.getvalue()
