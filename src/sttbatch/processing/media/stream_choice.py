"""The choice of one of several audio streams if the user has made none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from av.stream import Disposition

from sttbatch.core.errors import MediaError
from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.demuxing import Demuxer
from sttbatch.processing.media.loudness import is_quiet
from sttbatch.processing.media.opening import audio_streams, open_container
from sttbatch.processing.media.packet_clock import FAR
from sttbatch.processing.media.sample_buffer import SampleBuffer
from sttbatch.processing.media.silence import frame_levels
from sttbatch.processing.media.speech import detector
from sttbatch.processing.media.track import Track

_SEARCHED_S = (5.0, 20.0, 60.0, 180.0)
"""Speech is searched up to these seconds, one after the other."""

_ALL_SEARCHED_S = 720.0
"""Seconds of all streams together; a minute takes 0.3 s of CPU time."""

_SPEECH_S = 1.0
"""A stream with less speech than this has none: a detector may be wrong for a moment of music."""


class StreamChoice(NamedTuple):
    """The stream that is transcribed, and others like it: with speech or, if not, with sound."""

    stream: int
    others: tuple[int, ...] = ()
    has_speech: bool = False


def choose_stream(file: BinaryIO) -> StreamChoice:
    """The stream with speech in its first minutes, and the others with speech.

    The default one by the file is first, then they are in their order. If none has speech, sound
    counts.
    """
    file.seek(0)
    with open_container(file) as container:
        defaults = [
            bool(each.disposition & Disposition.default) for each in audio_streams(container)
        ]
    order = sorted(range(len(defaults)), key=lambda index: not defaults[index])
    most_s = _ALL_SEARCHED_S / len(defaults)
    spoken = [index for index in order if _has_speech(file, index, most_s)]
    chosen = spoken or [index for index in order if _has_sound(file, index, most_s)]
    if not chosen:
        return StreamChoice(0)
    return StreamChoice(chosen[0], tuple(sorted(chosen[1:])), bool(spoken))


def _has_speech(file: BinaryIO, stream: int, most_s: float) -> bool:
    speech_s = 0.0
    for channels in _parts(file, stream, most_s):
        speech_s += max(
            sum(span.duration_s for span in detector.spans(pcm)) for pcm in dict.fromkeys(channels)
        )
        if speech_s >= _SPEECH_S:
            return True
    return False


def _has_sound(file: BinaryIO, stream: int, most_s: float) -> bool:
    return any(
        not is_quiet(frame_levels(pcm))
        for channels in _parts(file, stream, most_s)
        for pcm in channels
    )


def _parts(file: BinaryIO, stream: int, most_s: float) -> Iterator[list[bytes]]:
    """The samples of each channel, in parts that get longer."""
    try:
        with Track(Demuxer(file, stream)) as track:
            buffer = SampleBuffer(track, UploadCodec.FLAC)
            for seconds in _SEARCHED_S:
                start = buffer.end_pts
                buffer.fill(track.pts(min(seconds, most_s)), FAR)
                if channels := buffer.channel_pcm(start, buffer.end_pts):
                    yield channels
                if buffer.at_end:
                    break
    except MediaError:
        return
