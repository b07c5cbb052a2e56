"""The forms of JSON in which tools write transcripts, as far as they are read.

They are those of openai-whisper 20250625 (whose form whisper-ctranslate2 0.5 and others share), the
`verbose_json` of the API, WhisperX 3.4, whisper.cpp 1.7 (`-oj` and `-ojf`), and sttbatch's own.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct, field

from sttbatch.core.models import Evidence, GapReason

Time: TypeAlias = float | str | None
"""Seconds; aligners leave them out where they found nothing, and older servers write text."""

# None of these refers to itself, so that the garbage collector has nothing to find.


class WrittenWord(Struct, gc=False):
    """A word, with its surrounding space or without."""

    word: str
    start: Time = None
    end: Time = None


class WrittenSegment(Struct, gc=False):
    """A segment; `speaker` is there if somebody was told apart."""

    text: str
    start: Time = None
    end: Time = None
    words: list[WrittenWord] | None = None
    speaker: str | int | None = None


class WhisperForm(Struct, gc=False):
    """The form of Whisper; `words` and `duration` are of the API, `word_segments` of WhisperX."""

    segments: list[WrittenSegment] | None = None
    text: str | None = None
    words: list[WrittenWord] | None = None
    language: str | None = None
    duration: Time = None
    task: str | None = None


class WrittenChunk(Struct, gc=False):
    """As `core.models.ChunkSummary`."""

    index: int
    start: float
    end: float
    cached: bool
    status: str
    channel: int = 0


class WrittenGap(Struct, gc=False):
    """As `core.models.Gap`."""

    start: float
    end: float
    reason: GapReason
    detail: str = ""
    channel: int = 0


class WrittenDropped(Struct, gc=False):
    """As `core.models.DroppedSegment`."""

    start: float
    end: float
    text: str
    evidence: list[Evidence]


class OwnForm(WhisperForm, gc=False):
    """The form of sttbatch's json output."""

    source: str = ""
    sha256: str = ""
    model: str = ""
    engine: str = ""
    source_language: str | None = None
    chunks: list[WrittenChunk] = field(default_factory=list)
    gaps: list[WrittenGap] = field(default_factory=list)
    dropped: list[WrittenDropped] = field(default_factory=list)


class Offsets(Struct, gc=False):
    """Milliseconds."""

    start: int = field(name="from")
    end: int = field(name="to")


class WrittenToken(Struct, gc=False):
    """A token, which may end within a character."""

    text: str
    offsets: Offsets | None = None


class CppSegment(Struct, gc=False):
    """A segment of whisper.cpp; `speaker` is a number, or ? where it was not sure."""

    text: str
    offsets: Offsets | None = None
    tokens: list[WrittenToken] | None = None
    speaker: str | int | None = None


class CppParameters(Struct, gc=False):
    """What it was called with; `model` is the path of its weights."""

    model: str | None = None
    translate: bool = False


class CppModel(Struct, gc=False):
    """What the weights say about themselves."""

    type: str | None = None


class CppResult(Struct, gc=False):
    """What was heard."""

    language: str | None = None


class CppForm(Struct, gc=False):
    """The form of whisper.cpp; tokens are there with `-ojf`."""

    transcription: list[CppSegment]
    params: CppParameters = field(default_factory=CppParameters)
    model: CppModel = field(default_factory=CppModel)
    result: CppResult = field(default_factory=CppResult)
