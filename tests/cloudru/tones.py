"""Recordings that say what is in them: each word is known, and when it is heard, to the sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from os import PathLike, fspath
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from .alphabet import WORD_S, Heard, HeardWord, NotAudioError, Samples, word_samples, word_text
from .hearing import hear

__all__ = ["Heard", "HeardWord", "NotAudioError", "Script", "hear", "make_recording"]

_BLOCK_S = 1.0
_SMALL_BYTES = 1 << 20
_MOST_MADE = 64
_made: dict[tuple[object, ...], tuple[bytes, tuple[HeardWord, ...]]] = {}
# What an encoder puts in front, in samples, where no header tells the player to skip it, so that
# it is heard as silence before the recording: LAME's delay (576) and the MP3 decoder's (528 + 1)
# without a Xing header, and one frame of AAC in a bare ADTS stream.
_MP3_DELAY_SAMPLES = 576 + 529
_ADTS_DELAY_SAMPLES = 1024
_VIDEO_FPS = 5
# ffmpeg's FF_QP2LAMBDA: `-q:a N` reaches the encoder as a global quality of N * 118.
_QP_TO_LAMBDA = 118

# File ending -> (container, audio codec, sample rate in Hz).
# AAC in Matroska is 23 ms later in ffmpeg 5, which does not skip the encoder's delay there.
_FORMATS = {
    ".mp3": ("mp3", "libmp3lame", 44_100),
    ".m4a": ("ipod", "aac", 44_100),
    ".aac": ("adts", "aac", 44_100),
    ".ogg": ("ogg", "libopus", 48_000),
    ".opus": ("ogg", "libopus", 48_000),
    ".webm": ("webm", "libopus", 48_000),
    ".flac": ("flac", "flac", 44_100),
    ".wav": ("wav", "pcm_s16le", 44_100),
    ".mp4": ("mp4", "aac", 44_100),
    ".mkv": ("matroska", "aac", 44_100),
}


@dataclass(frozen=True, slots=True)
class Script:
    """What a recording says: words a short gap apart, sentences a longer pause apart.

    `silences` are (at, length) in seconds: the first word that would begin at or after `at` begins
    `length` later. Only words that fit whole into `duration_s` are said.
    """

    duration_s: float
    word_gap_s: float = 0.1
    sentence_pause_s: float = 0.6
    words_per_sentence: int = 8
    first_word: int = 0
    lead_silence_s: float = 0.3
    silences: tuple[tuple[float, float], ...] = field(default=())

    def words(self) -> Iterator[HeardWord]:
        """The words with their nominal times in seconds, in order."""
        silences = sorted(self.silences)
        start_s = self.lead_silence_s
        said = 0
        while True:
            while silences and start_s >= silences[0][0]:
                start_s += silences.pop(0)[1]
            if start_s + WORD_S > self.duration_s:
                return
            yield HeardWord(word_text(self.first_word + said), start_s, start_s + WORD_S)
            said += 1
            ends_sentence = said % self.words_per_sentence == 0
            start_s += WORD_S + (self.sentence_pause_s if ends_sentence else self.word_gap_s)


def make_recording(
    path: str | PathLike[str],
    *,
    duration_s: float,
    word_gap_s: float = 0.1,
    sentence_pause_s: float = 0.6,
    words_per_sentence: int = 8,
    first_word: int = 0,
    lead_silence_s: float = 0.3,
    silences: Sequence[tuple[float, float]] = (),
    noise: float = 0.0,
    sample_rate: int | None = None,
    channels: int = 2,
    container: str | None = None,
    codec: str | None = None,
    bit_rate: int | None = None,
    vbr_quality: float | None = None,
    write_xing: bool = True,
    video: bool = False,
) -> list[HeardWord]:
    """Write a recording and return its words with the times at which a player hears them.

    The file is written as it is made, so an hour takes no more memory than a minute. What was made
    before, and is small, is written from memory: many tests begin with the same recording.

    Args:
        path: where to; its ending chooses container, codec and sample rate (mp3, m4a, aac, ogg and
            opus and webm with Opus, flac, wav, mp4, mkv).
        duration_s: length in seconds; the words are those that fit, see `Script`.
        word_gap_s: silence between words. From 0.05 on they are told apart.
        sentence_pause_s: silence after each `words_per_sentence` words.
        words_per_sentence: how many words stand between two pauses.
        first_word: index of the first word.
        lead_silence_s: silence before the first word.
        silences: (at, length) in seconds of silences to put in.
        noise: standard deviation of white noise under everything, 1.0 being full scale.
        sample_rate: in Hz; Opus takes 8, 12, 16, 24 and 48 kHz only.
        channels: 1 or 2, all with the same sound.
        container: ffmpeg's name of the format, against the file ending.
        codec: ffmpeg's name of the encoder, such as `vorbis`, `pcm_mulaw`.
        bit_rate: in bit/s.
        vbr_quality: ffmpeg's `-q:a`, instead of a constant bit rate.
        write_xing: False leaves out an mp3's Xing header and ID3 tag, as streams and cut files do.
        video: add a small moving picture (mp4, mkv).
    """
    script = Script(
        duration_s, word_gap_s, sentence_pause_s, words_per_sentence, first_word, lead_silence_s,
        tuple(silences),
    )  # fmt: skip
    how = (
        Path(path).suffix.lower(), script, noise, sample_rate, channels, container, codec,
        bit_rate, vbr_quality, write_xing, video,
    )  # fmt: skip
    if how in _made:
        data, words = _made[how]
        Path(path).write_bytes(data)
        return list(words)
    default_container, default_codec, default_rate = _FORMATS[Path(path).suffix.lower()]
    rate = sample_rate or default_rate
    muxer_options = {} if write_xing else {"write_xing": "0", "id3v2_version": "0"}
    encoder_options = _encoder_options(codec, bit_rate, vbr_quality)
    truth: list[HeardWord] = []
    with av.open(
        fspath(path), "w", format=container or default_container, options=muxer_options
    ) as output:
        audio = output.add_stream(codec or default_codec, rate=rate, options=encoder_options)
        if not isinstance(audio, av.AudioStream):
            raise TypeError(f"{codec} encodes no sound")
        layout = "mono" if channels == 1 else "stereo"
        audio.layout = layout
        picture = _add_picture(output) if video else None
        done = 0
        for block in _blocks(script, rate, noise, truth):
            pcm = np.repeat(np.int16(np.clip(block, -1, 1) * 32767), channels).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, done, Fraction(1, rate)
            output.mux(audio.encode(frame))
            if picture is not None:
                _show(output, picture, done / rate, (done + len(block)) / rate)
            done += len(block)
        output.mux(audio.encode(None))
        if picture is not None:
            output.mux(picture.encode(None))
    shift_s = 0.0
    if (codec or default_codec) == "libmp3lame" and not write_xing:
        shift_s = _MP3_DELAY_SAMPLES / rate
    elif (container or default_container) == "adts":
        shift_s = _ADTS_DELAY_SAMPLES / rate
    heard = [HeardWord(w.text, w.start_s + shift_s, w.end_s + shift_s) for w in truth]
    if Path(path).stat().st_size <= _SMALL_BYTES and len(_made) < _MOST_MADE:
        _made[how] = Path(path).read_bytes(), tuple(heard)
    return heard


def _encoder_options(
    codec: str | None, bit_rate: int | None, vbr_quality: float | None
) -> dict[str, str]:
    # ffmpeg's own Vorbis encoder counts as experimental.
    options = {"strict": "experimental"} if codec == "vorbis" else {}
    if bit_rate is not None:
        options["b"] = str(bit_rate)
    if vbr_quality is not None:
        options["flags"] = "+qscale"
        options["global_quality"] = str(round(vbr_quality * _QP_TO_LAMBDA))
    return options


def _blocks(script: Script, rate: int, noise: float, truth: list[HeardWord]) -> Iterable[Samples]:
    """The sound as mono float32 blocks of a second; fills `truth` with times on whole samples."""
    generator = np.random.default_rng(script.first_word)
    total = round(script.duration_s * rate)
    words = script.words()
    upcoming = next(words, None)
    tail: Samples = np.zeros(0, np.float32)
    for begin in range(0, total, round(_BLOCK_S * rate)):
        length = min(round(_BLOCK_S * rate), total - begin)
        # Longer than the block by a word: a word on the boundary spills into the next block.
        sound = np.zeros(length + round(WORD_S * rate) + 1, np.float32)
        sound[: len(tail)] = tail
        while upcoming is not None and (at := round(upcoming.start_s * rate)) < begin + length:
            samples = word_samples(upcoming.text, rate)[: total - at]
            sound[at - begin : at - begin + len(samples)] = samples
            truth.append(HeardWord(upcoming.text, at / rate, (at + len(samples)) / rate))
            upcoming = next(words, None)
        tail = sound[length:]
        if noise:
            yield sound[:length] + generator.normal(0, noise, length).astype(np.float32)
        else:
            yield sound[:length]


def _add_picture(output: OutputContainer) -> VideoStream:
    picture = output.add_stream("mpeg4", rate=_VIDEO_FPS)
    picture.width = picture.height = 64
    picture.pix_fmt = "yuv420p"
    return picture


def _show(output: OutputContainer, picture: VideoStream, begin_s: float, end_s: float) -> None:
    """Encode the frames from `begin_s` to `end_s`, in step with the sound so that both mix."""
    for number in range(-int(-begin_s * _VIDEO_FPS // 1), -int(-end_s * _VIDEO_FPS // 1)):
        gray = np.full((64, 64, 3), number * 16 % 256, np.uint8)
        frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, _VIDEO_FPS)
        output.mux(picture.encode(frame))
