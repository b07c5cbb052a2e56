"""Reads transcripts of whisper.cpp: milliseconds, and tokens that end within a character."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PureWindowsPath

from msgspec.structs import replace

from sttbatch.core.models import Transcript
from sttbatch.external.cloudru.json_values import storable
from sttbatch.external.cloudru.whole_words import Part, join_words
from sttbatch.kinds.importing.forms import CppForm, CppSegment, WrittenToken
from sttbatch.kinds.importing.timing import seconds, timed_transcript

# Whisper's own tokens, such as [_BEG_], [_TT_50] and <|endoftext|>.
_SPECIAL_TOKEN = re.compile(r"\[_.*\]|<\|.*\|>", re.DOTALL)


def from_latin_1(text: str) -> str:
    """A text whose bytes were read as Latin-1."""
    try:
        return text.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return storable(text)


def transcript_of(form: CppForm, repaired: Callable[[str], str]) -> tuple[Transcript, str]:
    """The transcript and its model, "" if the file does not name it; `repaired` is for texts."""
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
    return timed_transcript(parts, form.result.language), model or form.model.type or ""


def _part_of(written: CppSegment | WrittenToken) -> Part:
    if written.offsets is None:
        return Part(written.text)
    start_s, end_s = written.offsets.start / 1000, written.offsets.end / 1000
    return Part(written.text, seconds(start_s), seconds(end_s))


def _words_of_tokens(tokens: Sequence[WrittenToken], repaired: Callable[[str], str]) -> list[Part]:
    parts = [_part_of(each) for each in tokens if not _SPECIAL_TOKEN.fullmatch(each.text.strip())]
    if repaired is from_latin_1:
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
