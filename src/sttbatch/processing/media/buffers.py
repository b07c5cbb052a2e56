"""What the splitter holds of a recording: only the chunk it is about to cut.

There are two kinds, one for packets that are copied and one for samples that are encoded.
Positions are in the stream's own time base; `fill` reads on, `drop_before` forgets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import Container

_FIRST_PROBE_S = 1.0
_LONGEST_PROBE_S = 60.0


@dataclass(frozen=True, slots=True)
class CutMedia:
    """One chunk's bytes; anchors as in `ChunkSpan`.

    The same `audio_sha256` means the same seconds in the upload, copied or encoded: an answer
    that is stored under it fits both.
    """

    data: bytes
    duration_s: float
    time_map: tuple[tuple[float, float], ...]
    audio_sha256: str


class Buffer(Protocol):
    """The part of a recording between what was cut last and what was read last.

    Attributes:
        preroll_s: what a cut takes along in front, for the decoder to settle.
    """

    container: Container
    codec_name: str
    preroll_s: float

    def fill(self, until: int, max_bytes: int) -> int:
        """Read until `until`, the end, or until the upload would outgrow `max_bytes`."""

    def at_end(self) -> bool: ...

    def skip_to(self, pts: int) -> None:
        """Read on to `pts` and keep nothing before it."""

    def drop_before(self, pts: int) -> None: ...

    def first_within(self, start: int, end: int) -> int | None:
        """Where the first audio in a range begins; None: there is none."""

    def end_pts(self) -> int:
        """Where what was read ends."""

    def snap(self, pts: int) -> int:
        """The nearest position that can be cut at."""

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        """Samples, mono s16 at 16 kHz, and where they begin."""

    def is_silent(self, start: int, end: int) -> bool: ...

    def cut(self, start: int, end: int) -> CutMedia | None:
        """The chunk from `start` to `end`; None: there is no sample in it."""


def audio_sha256(track: Track, digests: Sequence[bytes], within: str = "") -> str:
    """Of the packets covered; `within` says where a cut falls inside of the outer ones."""
    return hashlib.sha256(b"".join([track.fingerprint, *digests, within.encode()])).hexdigest()


def nearest(latest_first: Iterable[int], pts: int) -> int:
    """The position closest to `pts`; cuts are made near the end of what is held."""
    later: int | None = None
    for at in latest_first:
        if at <= pts:
            return at if later is None or pts - at <= later - pts else later
        later = at
    return pts if later is None else later


def probes(start: int, end: int, track: Track) -> Iterator[tuple[int, int]]:
    """Ever longer stretches: sound shows at once, and true silence is looked at in few."""
    at, length_s = start, _FIRST_PROBE_S
    while at < end:
        until = min(end, at + track.pts_of(length_s))
        yield at, until
        at, length_s = until, min(2 * length_s, _LONGEST_PROBE_S)
