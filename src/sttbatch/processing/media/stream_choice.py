"""Which of several audio streams is transcribed when nobody says which."""

from __future__ import annotations

from typing import BinaryIO

from av.stream import Disposition

from sttbatch.core.errors import MediaError
from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.opening import audio_streams, open_container
from sttbatch.processing.media.sample_buffer import SampleBuffer
from sttbatch.processing.media.track import FAR, Track

_HEARD_S = (5.0, 20.0, 60.0, 180.0)
"""Sound is looked for up to these seconds, one after the other."""


def choose_stream(file: BinaryIO) -> tuple[int, tuple[int, ...]]:
    """The stream that has sound in its first minutes, and the others that have some.

    What the file marks as its default comes first, then the streams in their order.
    """
    file.seek(0)
    with open_container(file) as container:
        defaults = [
            bool(each.disposition & Disposition.default) for each in audio_streams(container)
        ]
    if len(defaults) < 2:
        return 0, ()
    order = sorted(range(len(defaults)), key=lambda index: not defaults[index])
    heard = [index for index in order if _has_sound(file, index)]
    return (heard[0], tuple(sorted(heard[1:]))) if heard else (0, ())


def _has_sound(file: BinaryIO, stream: int) -> bool:
    try:
        with Track(file, stream) as track:
            buffer = SampleBuffer(track, UploadCodec.FLAC)
            for seconds in _HEARD_S:
                buffer.fill(track.pts(seconds), FAR)
                if not buffer.is_silent(track.origin_pts, buffer.end_pts, vad=True):
                    return True
                if buffer.at_end:
                    break
    except MediaError:
        pass
    return False
