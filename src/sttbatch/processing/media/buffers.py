"""The interface of buffers, which hold only the chunk of a recording that is cut next.

There are two kinds, one for packets that are copied and one for samples that are encoded.
Positions are in the stream's own time base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sttbatch.processing.media.silence import SilenceDetector
from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import Container

_FIRST_PROBE_S = 1.0
_LONGEST_PROBE_S = 60.0


@dataclass(frozen=True, slots=True)
class CutMedia:
    """One chunk's bytes; `time_map` as in `ChunkSpan`.

    The same `audio_sha256` means the same seconds in the upload, copied or encoded: a
    transcription that is stored under it fits both.
    """

    data: bytes
    duration_s: float
    time_map: tuple[tuple[float, float], ...]
    audio_sha256: str


class Buffer(Protocol):
    """The part of a recording between what was cut last and what was read last.

    Attributes:
        preroll_s: seconds that a cut includes in front, for the decoder to settle.
    """

    container: Container
    codec_name: str
    preroll_s: float

    def fill(self, until: int, max_bytes: int) -> int:
        """Read until `until`, the end, or until the upload would outgrow `max_bytes`."""

    def at_end(self) -> bool: ...

    def skip_to(self, pts: int) -> None:
        """Read on to `pts`, and drop everything before it."""

    def drop_before(self, pts: int) -> None:
        """Drop the packets that end before `pts`."""

    def first_within(self, start: int, end: int) -> int | None:
        """The position of the first audio in a range; None: there is none."""

    def end_pts(self) -> int:
        """The position up to which the recording was read."""

    def snap(self, pts: int) -> int:
        """The nearest position that can be cut at."""

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        """The position of the first sample, and the samples as mono s16 at 16 kHz."""

    def cut(self, start: int, end: int) -> CutMedia | None:
        """Cut the chunk from `start` to `end`; None: there is no sample in it."""


def audio_sha256(track: Track, digests: Sequence[bytes], within: str = "") -> str:
    """Hash the packets covered; `within` says where a cut falls inside of the outer ones."""
    return hashlib.sha256(b"".join([track.fingerprint, *digests, within.encode()])).hexdigest()


def nearest(latest_first: Iterable[int], pts: int) -> int:
    """The position closest to `pts`, searched from the end, near which cuts are made."""
    later: int | None = None
    for at in latest_first:
        if at <= pts:
            return at if later is None or pts - at <= later - pts else later
        later = at
    return pts if later is None else later


def is_silent(buffer: Buffer, track: Track, start: int, end: int) -> bool:
    """Whether a range holds no sound; parts get longer, as sound is mostly found in the first."""
    is_quiet = SilenceDetector()
    at, length_s = start, _FIRST_PROBE_S
    while at < end:
        until = min(end, at + track.pts_of(length_s))
        if not is_quiet(buffer.pcm(at, until)[1]):
            return False
        at, length_s = until, min(2 * length_s, _LONGEST_PROBE_S)
    return True
