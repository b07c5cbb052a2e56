"""Values that several rooms share. Times are seconds from the start of what they describe."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, ClassVar

from msgspec import UNSET, Struct, UnsetType


class Word(Struct, frozen=True, gc=False):
    """One word as the engine wrote it, without surrounding space.

    A long recording has 100,000: they refer to nothing that the garbage collector has to find.
    """

    text: str
    start_s: float
    end_s: float


class Segment(Struct, frozen=True):
    """A span of speech; `words` is empty if the engine gave no word timestamps.

    `speaker` is the channel it was heard on, counted from 1; None where channels were mixed.
    `unlikely`: the recogniser's own probabilities speak against it.
    """

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...] = ()
    speaker: str | None = None
    unlikely: bool = False


SHORT_OTHERS = 32
"""Gaps, chunks and the like."""

SHORT_CHARACTERS = 2500
"""What is said in a minute, with its words: what is done with it takes less than a millisecond."""


def characters_of(segments: Iterable[Segment]) -> int:
    """Characters of segments and of their words; those without text count as one."""
    return sum(
        1 + len(segment.text) + sum(1 + len(word.text) for word in segment.words)
        for segment in segments
    )


def are_short(segments: Sequence[Segment]) -> bool:
    """Whether the event loop does not notice what is done with them."""
    # What is counted is bounded first.
    return (
        len(segments) <= SHORT_CHARACTERS
        and sum(len(each.words) for each in segments) <= SHORT_CHARACTERS
        and characters_of(segments) <= SHORT_CHARACTERS
    )


class Transcription(Struct, frozen=True):
    """An engine's transcription of one upload, in the upload's own time.

    `source_language` is what was spoken, where the text is its translation.
    """

    text: str
    segments: tuple[Segment, ...]
    language: str | None = None
    source_language: str | UnsetType = UNSET

    @property
    def is_short(self) -> bool:
        """Whether the event loop does not notice what is done with it."""
        return len(self.text) <= SHORT_CHARACTERS and are_short(self.segments)


class UploadCodec(StrEnum):
    """How a chunk is encoded; `auto` copies packets where the endpoint accepts them, else FLAC."""

    AUTO = "auto"
    COPY = "copy"
    FLAC = "flac"
    OPUS = "opus"
    WAV = "wav"


class ChannelMode(StrEnum):
    """Whether the channels of a recording are mixed or sent separately."""

    MIX = "mix"
    SPLIT = "split"


class Evidence(StrEnum):
    """What speaks against a segment: nothing heard, a known filler line, its probabilities."""

    NO_SPEECH = "no_speech"
    FILLER_LINE = "filler_line"
    UNLIKELY = "unlikely"


class DroppedSegment(Struct, frozen=True):
    """Text that the recogniser wrote and nobody spoke, and what says so."""

    segment: Segment
    evidence: tuple[Evidence, ...]


class Hallucinations(StrEnum):
    """What outputs do with text that nobody spoke: leave it out, mark it, keep it."""

    DROP = "drop"
    MARK = "mark"
    KEEP = "keep"


MIXED = 0
"""The number of all channels together; single channels count from 1."""


class AudioFile(Struct, frozen=True):
    """What the headers of a recording say.

    Attributes:
        duration_s: declared by the container; 0 where it declares nothing.
        duration_is_estimate: the container declares no length and libavformat guessed one from
            the bit rate (MPEG audio without a Xing header, raw AAC).
        bit_rate: of the audio stream, bit/s; 0 when unknown.
        stream: which audio stream of the container, counted from 0.
        also_heard: other streams with speech or, if none has any, with sound; empty if a stream
            was requested.
        has_speech: speech was found on `stream` and on those.
    """

    size_bytes: int
    duration_s: float
    duration_is_estimate: bool
    codec: str
    container: str
    sample_rate: int
    channels: int
    bit_rate: int
    stream: int = 0
    also_heard: tuple[int, ...] = ()
    has_speech: bool = False


class ConcurrencyLimit(Struct, frozen=True):
    """How many chunks may be sent at once."""

    value: int

    MIN: ClassVar[int] = 1
    MAX: ClassVar[int] = 10

    def __post_init__(self) -> None:
        if not self.MIN <= self.value <= self.MAX:
            raise ValueError(f"concurrency must be {self.MIN} to {self.MAX}, not {self.value}")


class LatencyModel(Struct, frozen=True):
    """How long one chunk's answer takes, including the time that it waits at the server.

    Attributes:
        base_s: seconds that every answer takes.
        per_audio_s: additional seconds for each second of audio.
        samples: number of earlier requests that it was fitted to; 0: a guess.
    """

    base_s: float
    per_audio_s: float
    samples: int

    def answer_s(self, audio_s: float) -> float:
        return self.base_s + self.per_audio_s * audio_s


class CutPoint(Struct, frozen=True):
    """Where one span of a recording ends and the next begins.

    Attributes:
        pts: position in the stream's own time base.
        overlap: it is not in silence, so both chunks contain the audio around it.
    """

    pts: int
    overlap: bool = False


class ChunkSpan(Struct, frozen=True):
    """The part of a recording that one chunk covers, and the time map of its upload.

    Attributes:
        start_s, end_s: in the recording's time. What the upload contains outside of them (frames
            that warm up the decoder, overlap) belongs to a neighbour.
        time_map: rising pairs (second in the upload, second in the recording); a time in the
            upload counts from the last pair at or before it. There is more than one pair where
            the recording's timestamps jump.
        channel: the one in the upload; `MIXED`: all of them.
    """

    index: int
    start: CutPoint
    end: CutPoint
    start_s: float
    end_s: float
    time_map: tuple[tuple[float, float], ...]
    channel: int = MIXED

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class Upload(Struct, frozen=True):
    """The bytes that are sent for one chunk, in memory or in a temporary file.

    Attributes:
        filename: as it is sent; servers recognise the format by its ending.
        duration_s: seconds of audio in it, which are billed.
        channels: number of channels in it.
    """

    filename: str
    content_type: str
    codec: str
    duration_s: float
    size_bytes: int
    data: bytes | None = None
    path: str | None = None
    channels: int = 1

    def __repr__(self) -> str:
        # Without the bytes, of which there are megabytes.
        return f"Upload({self.filename!r}, {self.duration_s:g} s, {self.size_bytes} bytes)"

    def open(self) -> BinaryIO:
        """A new file object, which each attempt to send needs."""
        if self.path is not None:
            return Path(self.path).open("rb")
        return io.BytesIO(self.data or b"")

    def discard(self) -> None:
        """Remove the temporary file, if there is one."""
        if self.path is not None:
            Path(self.path).unlink(missing_ok=True)


class AudioChunk(Struct, frozen=True):
    """One span, cut and ready to be sent.

    Attributes:
        audio_sha256: over codec parameters, extradata and the source packets it covers.
        silent: no channel of it holds speech.
    """

    span: ChunkSpan
    audio_sha256: str
    upload: Upload
    silent: bool = False


class GapReason(StrEnum):
    """Why a span of a transcript has no words."""

    NO_SPEECH = "no_speech"
    STILL_MISSING = "still_missing"
    REFUSED = "refused"
    TRUNCATED = "truncated"


class Gap(Struct, frozen=True):
    """A span without words, and why; `channel` as in `ChunkSpan`."""

    start_s: float
    end_s: float
    reason: GapReason
    detail: str = ""
    channel: int = MIXED


class ChunkSummary(Struct, frozen=True):
    """A chunk in a transcript; `status` is ok, no_speech or failed, `channel` as in `ChunkSpan`."""

    index: int
    start_s: float
    end_s: float
    cached: bool
    status: str
    channel: int = MIXED


MERGE_VERSION = 3
"""Part of a transcript's key, so that a better merger does not return the results of an older."""


class Transcript(Struct, frozen=True):
    """A whole recording's words, in its time; `duration_s` was counted while reading.

    `dropped` are not among its `segments`. `stream` as in `AudioFile`, unset for the first one: its
    stored form is as it was before there were others. `source_language` as in `Transcription`.
    """

    duration_s: float
    language: str | None
    segments: tuple[Segment, ...]
    chunks: tuple[ChunkSummary, ...]
    gaps: tuple[Gap, ...] = ()
    dropped: tuple[DroppedSegment, ...] = ()
    stream: int | UnsetType = UNSET
    source_language: str | UnsetType = UNSET

    @property
    def characters(self) -> int:
        """Of all of its text, the dropped included."""
        dropped = characters_of(each.segment for each in self.dropped)
        return characters_of(self.segments) + dropped + len(self.gaps) + len(self.chunks)

    @property
    def is_short(self) -> bool:
        """As that of a `Transcription`."""
        others = len(self.dropped) + len(self.gaps) + len(self.chunks)
        return (
            others <= SHORT_OTHERS
            and are_short(self.segments)
            and are_short([each.segment for each in self.dropped])
        )

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments if segment.text)

    @property
    def is_complete(self) -> bool:
        return all(gap.reason is not GapReason.STILL_MISSING for gap in self.gaps)
