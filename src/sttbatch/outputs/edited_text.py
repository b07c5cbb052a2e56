"""Reads outputs back that somebody has edited."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from sttbatch.core.models import Segment, Word

_NOTE = "[not transcribed: "
_VOICE = re.compile(r"<v(?:\.\S+)? ([^>]+)>")
_TAG = re.compile(r"</?[a-z][^>]*>")
_TIME = re.compile(r"\[(\d{2,5}):([0-5]\d):([0-5]\d)\] ")
_LATEST_S = 1e8


class _JsonWord(Struct):
    word: str
    start: float
    end: float


class _JsonSegment(Struct):
    text: str
    start: float
    end: float
    speaker: str | None = None
    words: list[_JsonWord] = field(default_factory=list)


class _Json(Struct):
    segments: list[_JsonSegment]


def _from_json(data: bytes) -> list[Segment]:
    return [
        Segment(
            each.text,
            each.start,
            each.end,
            tuple(Word(word.word.strip(), word.start, word.end) for word in each.words),
            each.speaker,
        )
        for each in msgspec.json.decode(data, type=_Json).segments
    ]


def _from_subtitles(form: str) -> Callable[[bytes], list[Segment]]:
    def read(data: bytes) -> list[Segment]:
        import pysubs2

        # It would drop voices with all other tags.
        cues = pysubs2.SSAFile.from_string(_text(data), format_=form, keep_html_tags=True)
        segments = []
        for cue in cues:
            voice = _VOICE.search(cue.text)
            text = " ".join(_TAG.sub("", cue.plaintext).split())
            if form == "vtt":
                text = html.unescape(text)
            speaker = html.unescape(voice[1]) if voice else None
            segments.append(Segment(text, cue.start / 1000, cue.end / 1000, speaker=speaker))
        return segments

    return read


def _from_tsv(data: bytes) -> list[Segment]:
    rows = [line.split("\t", 2) for line in _text(data).splitlines()[1:] if line.strip()]
    return [Segment(text, int(start) / 1000, int(end) / 1000) for start, end, text in rows]


def _from_txt(data: bytes) -> list[Segment]:
    """The paragraphs; those that begin with a time end at the next one."""
    segments: list[Segment] = []
    end_s = _LATEST_S
    for line in reversed([line for line in _text(data).splitlines() if line.strip()]):
        if (marked := _TIME.match(line)) is None:
            segments.append(Segment(line, 0.0, 0.0))
            continue
        hours, minutes, seconds = map(int, marked.groups())
        start_s = hours * 3600.0 + minutes * 60 + seconds
        segments.append(Segment(line[marked.end() :], start_s, max(start_s, end_s)))
        end_s = start_s
    return segments[::-1]


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


_READERS: dict[str, Callable[[bytes], list[Segment]]] = {
    "txt": _from_txt,
    "srt": _from_subtitles("srt"),
    "vtt": _from_subtitles("vtt"),
    "tsv": _from_tsv,
    "json": _from_json,
}

READABLE_FORMATS = frozenset(_READERS)
UNTIMED_FORMATS = frozenset({"txt"})
"""What says nothing about the times of words: its segments have none, or those of paragraphs."""


def edited_segments(data: bytes, form: str, speakers: Sequence[str]) -> list[Segment] | None:
    """The segments of an output in a readable format; None: it cannot be read.

    `speakers` are those of the recording, which stand before their words in some formats.
    """
    try:
        segments = [_in_time(each) for each in _READERS[form](data)]
    # The reader of subtitles raises whatever the text of a stranger makes it raise.
    except Exception:  # noqa: BLE001
        return None
    spoken = [each for each in segments if not each.text.startswith(_NOTE)]
    return [_with_speaker(each, speakers) for each in spoken] if speakers else spoken


def _in_time(segment: Segment) -> Segment:
    """The segment with times that a recording can have, whatever was typed."""
    words = tuple(Word(each.text, _time(each.start_s), _time(each.end_s)) for each in segment.words)
    return replace(segment, start_s=_time(segment.start_s), end_s=_time(segment.end_s), words=words)


def _time(seconds: float) -> float:
    return min(max(seconds, 0.0), _LATEST_S)


def _with_speaker(segment: Segment, speakers: Sequence[str]) -> Segment:
    named = [each for each in speakers if segment.text.startswith(f"{each}: ")]
    if segment.speaker is not None or not named:
        return segment
    # One name may be the beginning of another one.
    speaker = max(named, key=len)
    return replace(segment, speaker=speaker, text=segment.text[len(speaker) + len(": ") :])
