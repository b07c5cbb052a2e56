"""Opens files safely; which of their formats are read."""

from __future__ import annotations

from typing import BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer

from sttbatch.core.errors import MediaError, NoAudioError

# Playlists and concatenations open other files and URLs, so only formats that contain their samples
# are read, from a file object and without any protocol. Raw samples are not read either, as only a
# name identifies them (A-law, G.722, aptX).
FORMATS = (
    "aa,aac,ac3,aea,aiff,amr,ape,asf,au,avi,avr,bonk,caf,codec2,dhav,dsf,dss,dts,dtshd,dv,eac3,"
    "epaf,flac,flv,gsm,gxf,hcom,iamf,iff,ilbc,ircam,ivr,kux,lc3,loas,matroska,webm,mlp,mmf,mov,"
    "mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,nsp,nsv,nut,nuv,ogg,oma,osq,pvf,"
    "qcp,qoa,rka,rm,shn,sox,swf,tak,truehd,tta,vivo,voc,vqf,w64,wav,wavarc,wtv,wv,xwma"
)
_OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": ""}

_UNSEARCHED = {**_OPEN_OPTIONS, "max_probe_packets": "1"}
"""libavformat looks for DTS, AC-3 and MPEG audio in the samples of a WAV file, which takes three
quarters of the time of opening it."""


def open_container(file: BinaryIO, *, is_plain_wav: bool = False) -> InputContainer:
    """Open a recording; raises MediaError if it is none. `is_plain_wav` as in `SplitPlan`."""
    options = _UNSEARCHED if is_plain_wav else _OPEN_OPTIONS
    try:
        return av.open(file, mode="r", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        raise MediaError(f"not a recording that can be read: {reason(error)}") from error


def audio_streams(container: InputContainer) -> list[AudioStream]:
    """The streams that can be decoded, in the order of `--audio-stream`."""
    return [s for s in container.streams.audio if s.codec_context is not None]


def pick_stream(container: InputContainer, stream: int) -> AudioStream:
    """The audio stream with this index; raises NoAudioError if there is none."""
    streams = audio_streams(container)
    if not streams:
        raise NoAudioError("it has no audio stream")
    if stream >= len(streams):
        raise NoAudioError(
            f"it has {len(streams)} audio stream(s), so --audio-stream goes up to "
            f"{len(streams) - 1}"
        )
    return streams[stream]


def reason(error: Exception) -> str:
    """The text of a library's error, for a message."""
    return getattr(error, "strerror", None) or str(error)
