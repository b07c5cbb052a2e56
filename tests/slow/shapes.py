"""Recordings in the shapes that people have: channels, levels, pipes, joined and cut files."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from tests.cloudru import HeardWord
from tests.encoding import encode
from tests.processing.media.test_changing_streams import (
    EDITS,
    edited,
    later,
    renumbered,
    transport_stream,
)
from tests.speech import RATE_HZ, at_peak, spoken

from .recordings import BIT_RATES, LENGTH_S, Made, Studio, ending, is_known

PART_S = 9.0
SPOKEN_S = 4.0
QUIET_S = 9.5
"""One chunk, as a chunk of quiet tones without speech holds no speech."""


def shapes(studio: Studio) -> Iterator[Made]:
    yield from channels(studio)
    yield from quiet(studio)
    yield from piped(studio)
    yield from joined(studio)
    yield from trimmed(studio)


def channels(studio: Studio) -> Iterator[Made]:
    """Channels that would cancel, and 3 to 16 microphones of which the last one hears all."""
    for muxer, codec in (
        ("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ipod", "aac"),
        ("ogg", "libopus"), ("ogg", "vorbis"), ("mp2", "mp2"), ("ipod", "alac"),
        ("wv", "wavpack"), ("asf", "wmav2"), ("mpegts", "aac"), ("matroska", "ac3"),
    ):  # fmt: skip
        samples, words = studio.said(48_000)
        both = np.stack([samples, -samples], axis=1)
        yield studio.write(f"inverted-{muxer}-{codec}", muxer, codec, both, 48_000, words)
    for muxer, codec, counts in (
        ("wav", "pcm_s16le", range(3, 17)), ("flac", "flac", range(3, 9)),
        ("matroska", "pcm_s16le", (4, 9, 16)), ("caf", "pcm_s16be", (3, 7, 12)),
        ("w64", "pcm_s24le", (5, 10)), ("wv", "wavpack", (4, 9)), ("tta", "tta", (3, 8)),
    ):  # fmt: skip
        for count in counts:
            samples, words = studio.said(16_000)
            room = np.zeros((len(samples), count), np.int16)
            room[:, -1] = samples
            yield studio.write(f"room-{muxer}-{count}", muxer, codec, room, 16_000, words)


def quiet(studio: Studio) -> Iterator[Made]:
    """Speech and words whose peak is far below full scale."""
    voice = spoken(SPOKEN_S)
    for muxer, codec in (
        ("wav", "pcm_s16le"), ("flac", "flac"), ("ipod", "alac"), ("mp3", "libmp3lame"),
        ("ipod", "aac"), ("ogg", "libopus"), ("aiff", "pcm_s16be"), ("wav", "pcm_s24le"),
    ):  # fmt: skip
        for dbfs in (-30.0, -54.0, -64.0):
            samples, words = studio.said(RATE_HZ, QUIET_S - SPOKEN_S)
            tones = at_peak(samples / 32768, dbfs)
            both = np.concatenate([at_peak(voice, dbfs), tones])
            name = f"quiet-{muxer}-{codec}{dbfs:.0f}"
            data = np.round(both * 32767).astype(np.int16)
            made = studio.write(name, muxer, codec, data, RATE_HZ, later(words, SPOKEN_S))
            yield Made(made.path, made.words, after_s=SPOKEN_S)


def piped(studio: Studio) -> Iterator[Made]:
    """What is written to a pipe declares no length, or an untrue one."""
    for muxer, codec, options in (
        ("wav", "pcm_s16le", {}), ("w64", "pcm_s16le", {}), ("au", "pcm_s16be", {}),
        ("aiff", "pcm_s16be", {}), ("flac", "flac", {}), ("mp3", "libmp3lame", {}),
        ("adts", "aac", {}), ("ogg", "libopus", {}), ("ogg", "vorbis", {}),
        ("matroska", "libopus", {}), ("webm", "libopus", {}), ("matroska", "flac", {}),
        ("mpegts", "aac", {}), ("avi", "libmp3lame", {}), ("flv", "aac", {}),
        ("nut", "pcm_s16le", {}), ("asf", "wmav2", {}),
        ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
        ("mov", "pcm_s16le", {"movflags": "frag_keyframe+empty_moov"}),
    ):  # fmt: skip
        stereo = codec in ("vorbis", "wmav2")
        samples, words = studio.said(48_000)
        path = studio.folder / f"piped-{muxer}-{codec}.{ending(muxer)}"
        shown = np.stack([samples] * 2, axis=1) if stereo else samples
        with path.open("wb") as file:
            bit_rate = BIT_RATES.get(codec)
            pipe = _Pipe(file)
            encode(pipe, shown, codec, 48_000, muxer=muxer, bit_rate=bit_rate, options=options)
        yield Made(path, words, is_read=is_known(path))


def joined(studio: Studio) -> Iterator[Made]:
    """Two recordings in one file, of different rates and channels where the format can."""
    for muxer, codec, rates, counts in (
        ("adts", "aac", (44_100, 22_050), (2, 1)), ("adts", "aac", (48_000, 48_000), (1, 1)),
        ("mp3", "libmp3lame", (44_100, 16_000), (2, 1)),
        ("mp2", "mp2", (48_000, 48_000), (1, 1)),
        ("mp2", "mp2", (44_100, 48_000), (2, 1)), ("ac3", "ac3", (48_000, 48_000), (1, 1)),
        ("ogg", "libopus", (48_000, 48_000), (2, 1)),
        ("ogg", "libopus", (48_000, 24_000), (1, 1)),
        ("ogg", "vorbis", (44_100, 22_050), (2, 2)), ("ogg", "flac", (16_000, 16_000), (1, 1)),
        ("mpegts", "aac", (48_000, 48_000), (1, 1)),
        ("mpegts", "mp2", (48_000, 48_000), (1, 1)),
        ("mpeg", "mp2", (48_000, 48_000), (1, 1)),
    ):  # fmt: skip
        data, words = b"", []
        for part, (rate, count) in enumerate(zip(rates, counts, strict=True)):
            samples, new = studio.said(rate, PART_S)
            target = io.BytesIO()
            shown = np.stack([samples] * 2, axis=1) if count == 2 else samples
            options = {"write_xing": "0"} if muxer == "mp3" else {}
            encode(target, shown, codec, rate, muxer=muxer, options=options)
            more = target.getvalue()
            data += renumbered(more, 77) if muxer == "ogg" and part else more
            words += later(new, part * PART_S)
        name = f"joined-{muxer}-{codec}-{'-'.join(map(str, (*rates, *counts)))}"
        yield Made(studio.store(name, muxer, data), words)


def trimmed(studio: Studio) -> Iterator[Made]:
    """Edit lists, streams that were cut anywhere, and clocks that wrap."""
    for name, edits in EDITS.items():
        samples, words = studio.said(16_000, 14.0)
        source = studio.folder.parent / "whole.m4a"
        encode(source, samples, "aac", 16_000, muxer="ipod")
        yield _edited(studio, name, edited(source, edits), words, edits)
    for muxer, codec in (
        ("mp3", "libmp3lame"), ("adts", "aac"), ("mpegts", "aac"), ("ac3", "ac3"),
        ("mp2", "mp2"),
    ):  # fmt: skip
        samples, words = studio.said(48_000)
        target = io.BytesIO()
        options = {"write_xing": "0"} if muxer == "mp3" else {}
        encode(target, samples, codec, 48_000, muxer=muxer, options=options)
        data = target.getvalue()
        cut_s = 0.6 * LENGTH_S
        path = studio.store(f"cut-end-{muxer}", muxer, data[: len(data) * 6 // 10])
        near = frozenset(word.text for word in words if word.end_s > cut_s - 1.0)
        yield Made(path, [each for each in words if each.text not in near], border=near)
        samples, words = studio.said(48_000)
        target = io.BytesIO()
        encode(target, samples, codec, 48_000, muxer=muxer, options=options)
        data = target.getvalue()
        path = studio.store(f"cut-start-{muxer}", muxer, data[len(data) * 4 // 10 :])
        cut_s = 0.4 * LENGTH_S
        near = frozenset(word.text for word in words if word.start_s < cut_s + 1.0)
        kept = [each for each in words if each.text not in near]
        yield Made(path, kept, border=near, times=False)
    samples, words = studio.said(48_000)
    source = studio.folder.parent / "whole.m4a"
    encode(source, samples, "aac", 48_000, muxer="ipod")
    data = transport_stream(source, 2**33 / 90_000 - 6.0)
    yield Made(studio.store("clock-wraps", "mpegts", data), words)


def _edited(
    studio: Studio, name: str, data: bytes, words: list[HeardWord], edits: list[tuple[float, float]]
) -> Made:
    expected: list[HeardWord] = []
    border: set[str] = set()
    played_s = 0.0
    for length_s, start_s in edits:
        end_s = start_s + length_s
        for word in words:
            if word.start_s > start_s + 0.1 and word.end_s < end_s - 0.1:
                expected += later([word], played_s - start_s)
            elif word.end_s > start_s - 0.1 and word.start_s < end_s + 0.1:
                border.add(word.text)
        played_s += length_s
    path = studio.store(f"edited-{name.replace(' ', '-')}", "ipod", data)
    return Made(path, expected, border=frozenset(border))


class _Pipe:
    """A file that cannot be sought."""

    def __init__(self, file: io.BufferedWriter) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return self._file.write(data)
