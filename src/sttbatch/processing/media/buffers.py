"""The base of buffers, which hold only the chunk of a recording that is cut next.

There are two kinds, one for packets that are copied and one for samples that are encoded.
Positions are in the stream's own time base.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice, takewhile
from operator import attrgetter
from typing import Generic, NamedTuple, TypeVar

from sttbatch.core.models import UploadCodec
from sttbatch.processing.media.decoder import Decoder
from sttbatch.processing.media.loudness import is_quiet
from sttbatch.processing.media.packet_clock import JUMP_S, StreamPacket
from sttbatch.processing.media.samples import Samples, encode
from sttbatch.processing.media.silence import SAMPLE_RATE, frame_levels, is_digital_silence
from sttbatch.processing.media.speech import detector
from sttbatch.processing.media.track import Track
from sttbatch.processing.media.upload_format import ENCODED, Container

_PTS = attrgetter("pts")

_FIRST_PROBE_S = 1.0
_LONGEST_PROBE_S = 60.0
_LONGEST_LEAD_S = 1.0


class Digested(NamedTuple):
    """A packet's digest and times, without its samples."""

    pts: int
    end_pts: int
    duration_s: float
    digest: bytes


Item = TypeVar("Item", StreamPacket, Digested)


class CutMedia(NamedTuple):
    """One chunk's bytes; `time_map` as in `ChunkSpan`.

    Uploads with the same `audio_sha256` contain the same audio, copied or encoded, so that they
    share a stored transcription.
    """

    data: bytes
    duration_s: float
    time_map: tuple[tuple[float, float], ...]
    audio_sha256: str
    container: Container
    codec: str
    channels: int = 1


class Buffer(ABC, Generic[Item]):
    """The part of a recording between the last cut and the position of reading.

    Attributes:
        preroll_s: seconds before its start that a cut includes, to warm up the decoder.
        end_pts: the position up to which the recording was read.
        at_end: whether that is its end.
    """

    def __init__(self, track: Track, decoder: Decoder, preroll_s: float) -> None:
        self.preroll_s = preroll_s
        self.end_pts = track.origin_pts
        self.at_end = False
        self._track = track
        self._decoder = decoder
        self._source = track.packets()
        # In the order of their starts. An end is at most `_overlap` after the next start.
        self._items: list[Item] = []
        self._overlap = max(1, track.pts_of(JUMP_S))

    @abstractmethod
    def fill(self, until: int, max_bytes: int) -> int:
        """Read until `until`, the end, or `max_bytes`; returns the position that was reached."""

    @abstractmethod
    def skip_to(self, pts: int) -> None:
        """Read on to `pts`, and drop everything before it."""

    @abstractmethod
    def _interleaved(self, start: int, end: int) -> tuple[int, bytes]:
        """The position of the first sample, and the samples as interleaved s16 at 16 kHz."""

    @abstractmethod
    def cut(self, start: int, end: int) -> CutMedia | None:
        """Cut the chunk from `start` to `end`; None: there is no sample in it."""

    def first_within(self, start: int, end: int) -> int | None:
        """The position of the first audio in a range; None: there is none."""
        return next((max(start, item.pts) for item in self._covered(start, end)), None)

    def snap(self, pts: int) -> int:
        """The nearest position that can be cut at, searched from the end, near which cuts are."""
        later: int | None = None
        for item in reversed(self._items):
            at = item.pts
            if at <= pts:
                return at if later is None or pts - at <= later - pts else later
            later = at
        return pts if later is None else later

    def pcm(self, start: int, end: int) -> tuple[int, bytes]:
        """The position of the first sample, and the samples, mixed, as s16 at 16 kHz."""
        first, samples = self._interleaved(start, end)
        return first, self._decoder.mixer.mix(samples)

    def channel_pcm(self, start: int, end: int) -> list[bytes]:
        """The samples of each channel in the mix, as s16 at 16 kHz."""
        return self._decoder.mixer.channels(self._interleaved(start, end)[1])

    def is_silent(self, start: int, end: int, *, vad: bool) -> bool:
        """Whether a range holds no speech, or without `vad` nothing but digital silence.

        Each channel is judged by itself: no other can cancel or drown it. What stands out is sent
        unheard; a detector is asked only where all is level and quiet.
        """
        if not vad:
            return all(
                is_digital_silence(pcm)
                for part in self._parts(start, end)
                for pcm in self.channel_pcm(*part)
            )
        levels = [b""] * self._decoder.mixer.count
        for part in self._parts(start, end):
            for index, pcm in enumerate(self.channel_pcm(*part)):
                levels[index] += frame_levels(pcm)
                if not is_quiet(levels[index]):
                    return False
        return not any(
            detector.spans(pcm)
            for part in self._parts(start, end)
            for pcm in dict.fromkeys(self.channel_pcm(*part))
        )

    def _parts(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Parts of a range that get longer, as sound is mostly in the first."""
        length_s = _FIRST_PROBE_S
        while start < end:
            until = min(end, start + self._track.pts_of(length_s))
            yield start, until
            start, length_s = until, min(2 * length_s, _LONGEST_PROBE_S)

    def _covered(self, start: int, end: int) -> Iterator[Item]:
        """The items that overlap a range, which decide its key."""
        # One from before the range reaches into it only if the next one begins in it, or at most an
        # overlap before; a shorter one may follow that does not.
        first = bisect_right(self._items, start - self._overlap, key=_PTS) - 1
        high = bisect_left(self._items, end, key=_PTS)
        items = islice(self._items, max(0, first), high)
        return (item for item in items if item.end_pts > start)

    def _pop_before(self, pts: int) -> list[Item]:
        """Remove items from the front up to the first that ends after a position."""
        past = list(takewhile(lambda item: item.end_pts <= pts, self._items))
        del self._items[: len(past)]
        return past

    def _encoded(
        self,
        samples: Samples,
        codec: UploadCodec,
        span_s: tuple[float, float],
        audio_sha256: str,
        *,
        on_packets: bool,
    ) -> CutMedia | None:
        """Encode the samples of a span; `on_packets`: as long as copied packets would be."""
        low, high = samples.offset(span_s[0]), samples.offset(span_s[1])
        if low >= high:
            return None
        # Copied packets include what a player skips at the very start.
        late_s = samples.second(low) - span_s[0]
        lead_s = min(max(0.0, late_s), _LONGEST_LEAD_S) if on_packets else 0.0
        lead = bytes(2 * round(lead_s * SAMPLE_RATE))
        lead_s = len(lead) / (2 * SAMPLE_RATE)
        with memoryview(samples.pcm) as held, held[low:high] as covered:
            data = encode(chain([lead], self._decoder.mixer.blocks(covered)), codec)
        return CutMedia(
            data,
            samples.duration_s(low, high) + lead_s,
            samples.times(low, high, lead_s),
            audio_sha256,
            ENCODED[codec],
            str(codec),
        )

    def _audio_sha256(self, digests: Iterable[bytes], within: str = "") -> str:
        """Hash the covered packets; `within` is the position of cuts inside the outer ones."""
        parts = [self._track.fingerprint, *digests, within.encode()]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def _decoder_delay_s(self, first_packet_s: float) -> float:
        """The seconds at the start of a copied stream for which its decoder yields nothing.

        Opus has its pre-skip in the identification header (RFC 7845, 5.1: bytes 10 and 11, in
        samples of 48 kHz); a Vorbis decoder needs two packets for its first samples; other codecs
        have their delay in the container, which is not copied.
        """
        codec, extradata = self._track.codec, self._track.extradata
        if codec == "opus" and len(extradata) >= 12:
            return int.from_bytes(extradata[10:12], "little") / 48_000
        return first_packet_s if codec == "vorbis" else 0.0
