"""Reads a transcript of another tool, whose form its content shows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sttbatch.core.errors import RecordingError
from sttbatch.core.models import (
    ChunkSummary,
    DroppedSegment,
    Gap,
    Segment,
    Transcript,
)
from sttbatch.external.cloudru.json_values import storable
from sttbatch.external.cloudru.response_parsing import deal_words
from sttbatch.external.cloudru.whole_words import Part, join_words
from sttbatch.kinds.importing import whisper_cpp
from sttbatch.kinds.importing.forms import (
    CppForm,
    OwnForm,
    WhisperForm,
    WrittenWord,
)
from sttbatch.kinds.importing.timing import seconds, timed_transcript

F = TypeVar("F")

LARGEST_BYTES = 1 << 26
"""A larger file is no transcript: with all of its tokens, ten hours are 40 MB."""

_MOST_OBJECTS = 1_000_000
"""Words, segments and what they have: memory is taken by objects, and a short one is 3 bytes."""


# A string, whether it ends or not, so that each is looked at once; or a number that JSON has not.
_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(-?\b(?:NaN|Infinity)\b)', re.DOTALL)
_TOO_LATE = b"9e9"
"""A time that is none, as long as NaN."""


class NoTranscript(RecordingError):
    """The file is JSON, and no transcript of a recording."""


class ReadTranscript(Struct, frozen=True):
    """A transcript as a tool wrote it.

    Attributes:
        tool: whose form it has.
        model: as the tool names it; empty: it does not.
        source: path of the recording as the run had it that wrote it; empty: unknown.
        sha256: of the recording's content; empty: unknown.
        engine: as sttbatch names it; empty: another tool wrote it.
    """

    tool: str
    transcript: Transcript
    model: str = ""
    source: str = ""
    sha256: str = ""
    engine: str = ""


_ABSENT = Raw(b"null")


class _Shape(Struct):
    """What tells the forms apart."""

    segments: Raw = _ABSENT
    transcription: Raw = _ABSENT
    words: Raw = _ABSENT
    word_segments: Raw = _ABSENT
    sha256: Raw = _ABSENT
    engine: Raw = _ABSENT

    def has(self, *names: str) -> bool:
        return all(getattr(self, name) != _ABSENT for name in names)


def read_transcript(data: bytes) -> ReadTranscript:
    """Read the bytes of a file.

    Raises NoTranscript if they are JSON of another kind, and RecordingError if they are no JSON, or
    of a form that no version of these tools writes.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    repaired: Callable[[str], str] = storable
    if not _is_utf8(data):
        # whisper.cpp writes tokens that end within a character. Joined they are whole again.
        data, repaired = data.decode("latin-1").encode(), whisper_cpp.from_latin_1
    if data.count(b"{") > _MOST_OBJECTS:
        raise RecordingError(f"it has more than {_MOST_OBJECTS} words, segments and other objects")
    if b"NaN" in data or b"Infinity" in data:
        data = _with_numbers(data)
    shape = _decoded(data, _Shape, is_shape=True)
    if shape.has("transcription"):
        form = _decoded(data, CppForm)
        _refuse_translation(is_translated=form.params.translate)
        return ReadTranscript("whisper.cpp", *whisper_cpp.transcript_of(form, repaired))
    if shape.has("segments", "sha256", "engine"):
        return _read_own(_decoded(data, OwnForm), repaired)
    if shape.has("segments") or shape.has("words"):
        whisper = _decoded(data, WhisperForm)
        _refuse_translation(is_translated=whisper.task == "translate")
        tool = "WhisperX" if shape.has("word_segments") else "Whisper"
        return ReadTranscript(tool, _transcript_of(whisper, repaired))
    raise NoTranscript("it is not a transcript of Whisper, whisper.cpp, WhisperX or sttbatch")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _with_numbers(data: bytes) -> bytes:
    """The same with numbers where it has what is none, in place, as there may be millions."""
    changed = bytearray(data)
    for found in _NOT_A_NUMBER.finditer(data):
        if found[1] is not None:
            changed[found.start() : found.end()] = _TOO_LATE.ljust(len(found[1]))
    return bytes(changed)


def _decoded(data: bytes, form: type[F], *, is_shape: bool = False) -> F:
    try:
        return msgspec.json.decode(data, type=form)
    except msgspec.ValidationError as error:
        if is_shape:
            raise NoTranscript("it is not a transcript: its JSON is not an object") from error
        raise RecordingError(f"its form is unknown: {error}") from error
    except msgspec.DecodeError as error:
        raise RecordingError(f"it is not JSON: {error}") from error
    except RecursionError as error:
        raise RecordingError("it is not a transcript: it is nested too deeply") from error


def _refuse_translation(*, is_translated: bool) -> None:
    if is_translated:
        # As what `transcribe --task translate` makes, it would be searched in the wrong language.
        raise NoTranscript("it is a translation, not a transcript")


def _read_own(form: OwnForm, repaired: Callable[[str], str]) -> ReadTranscript:
    _refuse_translation(is_translated=form.task == "translate" or form.source_language is not None)
    transcript = replace(
        _transcript_of(form, repaired),
        chunks=tuple(
            ChunkSummary(each.index, each.start, each.end, each.cached, each.status, each.channel)
            for each in form.chunks
        ),
        gaps=tuple(
            Gap(each.start, each.end, each.reason, each.detail, each.channel) for each in form.gaps
        ),
        dropped=tuple(
            DroppedSegment(Segment(each.text, each.start, each.end), tuple(each.evidence))
            for each in form.dropped
        ),
    )
    return ReadTranscript("sttbatch", transcript, form.model, form.source, form.sha256, form.engine)


def _transcript_of(form: WhisperForm, repaired: Callable[[str], str]) -> Transcript:
    written = form.segments or []
    words = form.words or []
    parts = [
        (
            Part(
                repaired(each.text),
                seconds(each.start),
                seconds(each.end),
                _words_of(each.words or (), repaired),
            ),
            each.speaker,
        )
        for each in written
    ]
    if not parts and form.text:
        parts = [(Part(repaired(form.text), 0.0), None)]
    if words and not any(part.words for part, _ in parts):
        deal_words(_words_of(words, repaired), [part for part, _ in parts])
    return timed_transcript(parts, form.language, seconds(form.duration))


def _words_of(words: Sequence[WrittenWord], repaired: Callable[[str], str]) -> list[Part]:
    return join_words(
        Part(repaired(each.word), seconds(each.start), seconds(each.end)) for each in words
    )
