"""The recogniser: decodes an upload as a server would and reads the tones."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .alphabet import (
    DIGIT_S,
    DIGITS_PER_WORD,
    EDGE_S,
    FREQUENCIES_HZ,
    WORD_S,
    Heard,
    HeardWord,
    NotAudioError,
    Samples,
)

_RATE = 8_000
_WINDOW = 96  # samples, 12 ms: see FREQUENCIES_HZ
_HOP = 20  # samples, 2.5 ms
_HOP_S = _HOP / _RATE
# Two minutes: the threads of numpy's linear algebra spin for a while after each product, so a few
# large products cost a third of the CPU of many small ones.
_BLOCK = 120 * _RATE

_SILENT_LEVEL = 0.004  # of full scale: below it nothing counts as a tone
_ACTIVE = 0.2  # of the loudest usual tone: words are stretches above it
_BRIDGE_S = 0.03  # dips between the digits of a word are shorter, gaps between words longer
_TONE_PURITY = 0.4  # share of a window's power in its strongest bin; white noise has about 0.1
_WORD_TOLERANCE_S = 0.02
_known: dict[bytes, Heard] = {}

_HALF_DIGIT_S = 0.043  # 45 ms less what measuring an edge may cost


def hear(data: bytes) -> Heard:
    """Decode an audio file and return its words, times in seconds; once for the same bytes.

    Time is the number of decoded samples before a word, from the first one that the decoder gives
    out: ffmpeg's decoders leave out by themselves what a file's metadata says to skip. Timestamps
    are not looked at, since a recogniser that is fed samples never sees them.

    Raises:
        NotAudioError: nothing in `data` could be decoded.
    """
    key = hashlib.sha256(data).digest()
    if key not in _known:
        # Tests send the same chunks again and again, and listening takes most of their time.
        _known[key] = _hear(data)
    return _known[key]


def _hear(data: bytes) -> Heard:
    try:
        with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise NotAudioError("the file has no audio stream")
            has_video = any(
                not stream.disposition & Disposition.attached_pic
                for stream in container.streams.video
            )
            samples = 0
            spectra = _Spectra()
            for block in _decoded(container):
                samples += len(block)
                spectra.add(block)
    except av.FFmpegError as error:
        raise NotAudioError(f"the file cannot be decoded: {error.strerror}") from error
    if not samples:
        raise NotAudioError("no sound could be decoded")
    duration_s = samples / _RATE
    return Heard(tuple(_words(*spectra.finish(), duration_s)), duration_s, has_video)


def _decoded(container: InputContainer) -> Iterator[Samples]:
    """The first audio stream as mono float32 at 8 kHz, in pieces of any length."""
    stream = container.streams.audio[0]
    resampler = av.AudioResampler(format="flt", layout="mono", rate=_RATE)
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue  # as ffmpeg does: a damaged packet costs its own samples only
        for frame in frames:
            for piece in resampler.resample(frame):
                yield piece.to_ndarray()[0]
    for piece in resampler.resample(None):
        yield piece.to_ndarray()[0]


class _Spectra:
    """Level, strongest digit and purity of every window, gathered block by block."""

    def __init__(self) -> None:
        window = np.hanning(_WINDOW + 1)[:-1]
        angle = 2 * np.pi * np.outer(np.arange(_WINDOW) / _RATE, FREQUENCIES_HZ)
        waves = np.hstack([np.cos(angle), np.sin(angle)]) * window[:, None]
        # Scaled so that a sine of amplitude A gives A in its bin.
        self._waves = (waves * 2 / window.sum()).astype(np.float32)
        self._power = (window / window.sum()).astype(np.float32)
        # Half a window of silence in front puts the centre of window i at i * _HOP.
        self._pieces: list[Samples] = [np.zeros(_WINDOW // 2, np.float32)]
        self._waiting = _WINDOW // 2
        self._found: list[tuple[Samples, NDArray[np.uint8], Samples]] = []

    def add(self, samples: Samples) -> None:
        self._pieces.append(samples)
        self._waiting += len(samples)
        if self._waiting >= _BLOCK:
            self._measure()

    def finish(self) -> tuple[Samples, NDArray[np.uint8], Samples]:
        """Three arrays of shape (windows,): level 0..1, digit 0..15, purity 0..1."""
        self.add(np.zeros(_WINDOW // 2 + _HOP, np.float32))
        self._measure()
        levels, digits, purities = zip(*self._found, strict=True)
        return np.concatenate(levels), np.concatenate(digits), np.concatenate(purities)

    def _measure(self) -> None:
        samples = np.concatenate(self._pieces)
        if len(samples) >= _WINDOW:
            windows = sliding_window_view(samples, _WINDOW)[::_HOP]
            # One contiguous copy makes the product many times faster than on the strided view.
            windows = np.ascontiguousarray(windows)
            waves = windows @ self._waves
            bins = len(FREQUENCIES_HZ)
            strengths = waves[:, :bins] ** 2 + waves[:, bins:] ** 2
            total = np.square(windows, out=windows) @ self._power
            digits = strengths.argmax(axis=1).astype(np.uint8)
            levels = np.sqrt(strengths.sum(axis=1))
            purities = strengths.max(axis=1) / 2 / np.maximum(total, 1e-12)
            self._found.append((levels, digits, purities))
            samples = samples[len(windows) * _HOP :]
        self._pieces, self._waiting = [samples], len(samples)


def _words(
    levels: Samples, digits: NDArray[np.uint8], purities: Samples, duration_s: float
) -> Iterator[HeardWord]:
    tones = levels[(purities > _TONE_PURITY) & (levels > _SILENT_LEVEL)]
    if not len(tones):
        return
    usual = float(np.percentile(tones, 80))
    for first, last in _stretches(levels > _ACTIVE * usual):
        start_s, end_s = _edges(levels, first, last)
        start_s = max(start_s - EDGE_S / 2, 0.0)
        end_s = min(end_s + EDGE_S / 2, duration_s)
        text = _text(digits, purities, start_s, end_s, duration_s)
        if text.strip("~?"):
            yield HeardWord(text, start_s, end_s)


def _stretches(active: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and last window of each stretch of sound, short dips bridged."""
    places = np.flatnonzero(active)
    breaks = np.flatnonzero(np.diff(places) > _BRIDGE_S / _HOP_S)
    firsts = np.concatenate([places[:1], places[breaks + 1]])
    lasts = np.concatenate([places[breaks], places[-1:]])
    yield from zip(firsts.tolist(), lasts.tolist(), strict=True)


def _edges(levels: Samples, first: int, last: int) -> tuple[float, float]:
    """Where the level passes half of the stretch's own, in seconds, between two windows."""
    half = float(np.median(levels[first : last + 1])) / 2
    above = np.flatnonzero(levels[first : last + 1] >= half)
    begin, end = first + int(above[0]), first + int(above[-1])
    start, stop = float(begin), float(end)
    if begin > 0:
        before, at = float(levels[begin - 1]), float(levels[begin])
        start = begin - min((at - half) / max(at - before, 1e-9), 1.0)
    if end + 1 < len(levels):
        at, after = float(levels[end]), float(levels[end + 1])
        stop = end + min((at - half) / max(at - after, 1e-9), 1.0)
    return start * _HOP_S, stop * _HOP_S


def _text(
    digits: NDArray[np.uint8], purities: Samples, start_s: float, end_s: float, duration_s: float
) -> str:
    """The digits of one stretch, marked as a fragment unless it has the length of a word."""
    length_s = end_s - start_s
    if abs(length_s - WORD_S) <= _WORD_TOLERANCE_S:
        places = [start_s + length_s * (k + 0.5) / DIGITS_PER_WORD for k in range(DIGITS_PER_WORD)]
        return "".join(_digit(digits, purities, centre_s, 0.025) for centre_s in places)
    # A word cut at its beginning is read from its end, where its digits' boundaries are known.
    cut_before = start_s < DIGIT_S / 2 and length_s < WORD_S
    cut_after = duration_s - end_s < DIGIT_S / 2 and length_s < WORD_S
    read = []
    done_s = 0.0
    while length_s - done_s >= _HALF_DIGIT_S:
        piece_s = min(DIGIT_S, length_s - done_s)
        centre_s = end_s - done_s - piece_s / 2 if cut_before else start_s + done_s + piece_s / 2
        read.append(_digit(digits, purities, centre_s, piece_s / 4))
        done_s += piece_s
    text = "".join(reversed(read) if cut_before else read)
    unknown = not (cut_before or cut_after)
    return f"{'~' * (cut_before or unknown)}{text}{'~' * (cut_after or unknown)}"


def _digit(digits: NDArray[np.uint8], purities: Samples, centre_s: float, around_s: float) -> str:
    """The digit that most windows around `centre_s` agree on, `?` where there is no tone."""
    near = slice(
        max(round((centre_s - around_s) / _HOP_S), 0), round((centre_s + around_s) / _HOP_S) + 1
    )
    if float(np.median(purities[near])) < _TONE_PURITY:
        return "?"
    return f"{np.bincount(digits[near]).argmax():x}"
