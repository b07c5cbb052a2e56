"""Each codec in each container that PyAV can write.

A file is valid if a plain decoder hears its words at their times. A file in which it hears nothing,
or of a format that is not read here, has to be named; other files are left out.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from tests.cloudru import HeardWord, NotAudioError, hear
from tests.encoding import Samples16, encode

from .recordings import BIT_RATES, WITHIN_S, Made, Studio, ending, is_known, say

MUXERS = (  # noqa: SIM905 - a table
    "3g2 3gp ac3 adts adx aiff alaw alp amr apm aptx aptx_hd argo_asf asf ast au avi avm2 caf "
    "dfpwm dvd eac3 f32be f32le f4v f64be flac flv g722 g723_1 g726 g726le gxf ipod ircam ismv "
    "kvag latm matroska mmf mov mp2 mp3 mp4 mpeg mpegts mulaw mxf_opatom nut oga ogg ogv opus psp "
    "rm roq rso s16be s16le s24be s24le s32be s32le s8 sbc smjpeg sox spdif spx svcd swf tta u16le "
    "u8 vcd vidc vob voc w64 wav webm wsaud wtv wv"
).split()
"""All of them that write audio into one file."""

OTHERS = ("anull", "comfortnoise", "ac3_fixed", "mp2fixed", "mp3", "opus")
"""Encoders of nothing, and second names of others."""

SHAPES = ((16_000, 1), (8_000, 1), (44_100, 1), (48_000, 1), (44_100, 2))

OTHER_TIMES = {("asf", "flac"), ("wtv", "flac"), ("avi", "aac")}
"""In ASF and WTV, libavformat's parser gives the second packet the time of the tenth; in AVI,
players count empty packets, which a plain decoder does not."""

INVALID = {("wtv", "aac")}
"""PyAV writes AAC into WTV without headers; a decoder makes some silence of it."""

UNTIMED = {
    ("wav", "adpcm_swf"),
    ("w64", "adpcm_swf"),
    ("avi", "adpcm_swf"),
    ("avi", "wmav1"),
    ("avi", "wmav2"),
}
"""Packets with neither timestamps nor durations; declared lengths that are untrue."""


def pairs(studio: Studio) -> Iterator[Made]:
    """Each codec in each container that takes it."""
    encoders = sorted(name for name in av.codecs_available if _is_encoder(name))
    for muxer in MUXERS:
        for codec in encoders:
            made = _pair(studio, muxer, codec)
            if made is not None:
                yield made


def _pair(studio: Studio, muxer: str, codec: str) -> Made | None:
    path = studio.folder / f"pair-{muxer}-{codec}.{ending(muxer)}"
    unread: Made | None = None
    for rate, count in SHAPES:
        if not _is_written(io.BytesIO(), muxer, codec, rate, np.zeros((rate, count), np.int16)):
            continue
        samples, words = say(rate, studio.first_word)
        shown = np.stack([samples] * 2, axis=1) if count == 2 else samples
        if not _is_written(path, muxer, codec, rate, shown):
            continue
        if (muxer, codec) in INVALID:
            break
        unread = Made(path, words, is_read=False)
        try:
            heard = list(hear(path.read_bytes()).words)
        except NotAudioError:
            continue
        except ValueError:
            # A plain decoder fails where the parameters change.
            heard = []
        if not _are_same(heard, words):
            unread = None
            continue
        studio.first_word += len(words)
        is_read = is_known(path) and (muxer, codec) not in UNTIMED
        return Made(path, words, times=(muxer, codec) not in OTHER_TIMES, is_read=is_read)
    if unread is None:
        path.unlink(missing_ok=True)
    else:
        studio.first_word += len(unread.words)
    return unread


def _is_encoder(name: str) -> bool:
    if name in OTHERS:
        return False
    try:
        return av.codec.Codec(name, "w").type == "audio"
    except ValueError:
        return False


def _is_written(
    target: Path | io.BytesIO, muxer: str, codec: str, rate: int, samples: Samples16
) -> bool:
    try:
        encode(target, samples, codec, rate, muxer=muxer, bit_rate=BIT_RATES.get(codec))
    except (av.FFmpegError, ValueError, OverflowError):
        return False
    return True


def _are_same(heard: list[HeardWord], words: list[HeardWord]) -> bool:
    return [each.text for each in heard] == [each.text for each in words] and all(
        abs(one.start_s - other.start_s) < WITHIN_S for one, other in zip(heard, words, strict=True)
    )
