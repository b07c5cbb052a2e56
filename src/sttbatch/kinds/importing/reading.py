"""Reads a transcript of another tool, whose form its content shows."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import PureWindowsPath
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sttbatch.core.errors import RecordingError
from sttbatch.core.models import (
    ChunkSpan,
    ChunkSummary,
    CutPoint,
    DroppedSegment,
    Gap,
    Segment,
    Transcript,
    Transcription,
)
from sttbatch.external.cloudru.json_values import finite_number, storable
from sttbatch.external.cloudru.response_parsing import deal_words, timed_segments
from sttbatch.external.cloudru.whole_words import Part, join_words
from sttbatch.kinds.importing.forms import (
    CppForm,
    CppSegment,
    OwnForm,
    Time,
    WhisperForm,
    WrittenToken,
    WrittenWord,
)
from sttbatch.kinds.indexing.words import Language
from sttbatch.outputs.unicode_text import plain
from sttbatch.processing.transcript.timestamps import TimestampAdjuster

F = TypeVar("F")

LARGEST_BYTES = 1 << 26
"""A larger file is no transcript: with all of its tokens, ten hours are 40 MB."""

_MOST_OBJECTS = 1_000_000
"""Words, segments and what they have: memory is taken by objects, and a short one is 3 bytes."""

_LATEST_S = 1e7
_SPEAKER_CHARACTERS = 100
_NOT_IN_SPEAKERS = str.maketrans("", "", "<>")
_UNKNOWN_SPEAKER = "?"

# A string, whether it ends or not, so that each is looked at once; or a number that JSON has not.
_NOT_A_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(-?\b(?:NaN|Infinity)\b)', re.DOTALL)
_TOO_LATE = b"9e9"
"""A time that is none, as long as NaN."""

# Whisper's own tokens, such as [_BEG_], [_TT_50] and <|endoftext|>.
_SPECIAL_TOKEN = re.compile(r"\[_.*\]|<\|.*\|>", re.DOTALL)


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
        data, repaired = data.decode("latin-1").encode(), _from_latin_1
    if data.count(b"{") > _MOST_OBJECTS:
        raise RecordingError(f"it has more than {_MOST_OBJECTS} words, segments and other objects")
    if b"NaN" in data or b"Infinity" in data:
        data = _with_numbers(data)
    shape = _decoded(data, _Shape, is_shape=True)
    if shape.has("transcription"):
        return _read_cpp(_decoded(data, CppForm), repaired)
    if shape.has("segments", "sha256", "engine"):
        return _read_own(_decoded(data, OwnForm), repaired)
    if shape.has("segments") or shape.has("words"):
        form = _decoded(data, WhisperForm)
        _refuse_translation(is_translated=form.task == "translate")
        tool = "WhisperX" if shape.has("word_segments") else "Whisper"
        return ReadTranscript(tool, _transcript_of(form, repaired))
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


def _from_latin_1(text: str) -> str:
    try:
        return text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return storable(text)


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
                _seconds(each.start),
                _seconds(each.end),
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
    return _timed(parts, form.language, _seconds(form.duration))


def _words_of(words: Sequence[WrittenWord], repaired: Callable[[str], str]) -> list[Part]:
    return join_words(
        Part(repaired(each.word), _seconds(each.start), _seconds(each.end)) for each in words
    )


def _read_cpp(form: CppForm, repaired: Callable[[str], str]) -> ReadTranscript:
    _refuse_translation(is_translated=form.params.translate)
    written = form.transcription
    parts = [
        (
            replace(
                _part_of(each),
                text=repaired(each.text),
                words=_words_of_tokens(each.tokens or (), repaired),
            ),
            each.speaker,
        )
        for each in written
    ]
    model = PureWindowsPath(form.params.model or "").stem.removeprefix("ggml-")
    transcript = _timed(parts, form.result.language)
    return ReadTranscript("whisper.cpp", transcript, model or form.model.type or "")


def _part_of(written: CppSegment | WrittenToken) -> Part:
    if written.offsets is None:
        return Part(written.text)
    start_s, end_s = written.offsets.start / 1000, written.offsets.end / 1000
    return Part(written.text, _seconds(start_s), _seconds(end_s))


def _words_of_tokens(tokens: Sequence[WrittenToken], repaired: Callable[[str], str]) -> list[Part]:
    parts = [_part_of(each) for each in tokens if not _SPECIAL_TOKEN.fullmatch(each.text.strip())]
    if repaired is _from_latin_1:
        parts = _with_whole_characters(parts)
    return join_words(replace(each, text=repaired(each.text)) for each in parts)


def _with_whole_characters(tokens: Sequence[Part]) -> list[Part]:
    """Tokens, whose texts are bytes, joined where a character goes on in the next one."""
    whole: list[Part] = []
    for token in tokens:
        if whole and _ends_within_character(whole[-1].text):
            whole[-1].text += token.text
            whole[-1].end_s = token.end_s
        else:
            whole.append(token)
    return whole


def _ends_within_character(text: str) -> bool:
    try:
        text.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    except UnicodeEncodeError:
        return False
    return False


def _timed(
    parts: Sequence[tuple[Part, str | int | None]],
    language: str | None,
    duration_s: float | None = None,
) -> Transcript:
    """The transcript, in the order of time; what has no time lies between its neighbours."""
    ordered: list[tuple[float, Part, str | None]] = []
    at_s = 0.0
    for part, speaker in parts:
        if part.is_blank:
            continue
        at_s = at_s if part.start_s is None else part.start_s
        ordered.append((at_s, part, _speaker(speaker)))
    ordered.sort(key=itemgetter(0))
    spoken = [part for _, part, _ in ordered]
    ends_s = [
        time_s
        for segment in spoken
        for part in (segment, *segment.words)
        for time_s in (part.start_s, part.end_s)
        if time_s is not None
    ]
    end_s = max([duration_s or 0.0, *ends_s])
    segments = tuple(
        replace(segment, speaker=speaker)
        for segment, (_, _, speaker) in zip(timed_segments(spoken, end_s), ordered, strict=True)
    )
    # Its times are the recording's own; what is wanted is that none goes back.
    whole = ChunkSpan(0, CutPoint(0), CutPoint(0), 0.0, end_s, ((0.0, 0.0),))
    segments = TimestampAdjuster().adjust(whole, Transcription("", segments))
    return Transcript(end_s, Language(language).code or None, segments, ())


def _seconds(value: Time) -> float | None:
    """A time that can be one, at least 0; None: there is none."""
    number = finite_number(value)
    if number is None or not math.isfinite(number) or number > _LATEST_S:
        return None
    return max(0.0, number)


def _speaker(value: str | int | None) -> str | None:
    name = plain(storable("" if value is None else str(value)).translate(_NOT_IN_SPEAKERS))
    return None if name in {"", _UNKNOWN_SPEAKER} else name[:_SPEAKER_CHARACTERS]
