"""The output formats: functions from a document to the bytes of a file, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from sttbatch.core.models import MIXED, ChunkSummary, DroppedSegment, Gap, Segment
from sttbatch.core.options import Task
from sttbatch.core.timestamps import timestamp
from sttbatch.outputs.document import Document
from sttbatch.outputs.markdown import markdown
from sttbatch.outputs.paragraphs import paragraphs
from sttbatch.outputs.replacements import Replacement
from sttbatch.outputs.rttm import rttm
from sttbatch.outputs.subtitles import NAMED, cues, srt_pieces, vtt_pieces
from sttbatch.outputs.unicode_text import encodable
from sttbatch.outputs.word_document import docx

Formatter = Callable[[Document], Iterator[bytes]]

_GROUP = 64
"""Items of a long list that are in memory at the same time as JSON."""

# DEL and C1 in UTF-8.
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")


def txt(document: Document) -> Iterator[bytes]:
    """Plain text, one paragraph a line, a blank line between paragraphs.

    Missing parts are separate paragraphs: `[not transcribed: 00:05:00 - 00:10:00, why]`. If
    channels were transcribed separately, a change of speaker begins a paragraph: `1: text`, or
    `Anna: text` where the speaker has that name. With `timestamps`, paragraphs begin with their
    times, `[00:12:04] 1: text`, as notes do anyway.
    """
    before, are_timed = "", document.options.timestamps
    for each in paragraphs(document, are_timed=are_timed):
        time = f"[{timestamp(each.start_s)}] " if are_timed and not each.is_note else ""
        yield f"{before}{time}{_named(each.speaker, each.text)}\n".encode()
        before = "\n"


def srt(document: Document) -> Iterator[bytes]:
    """SubRip subtitles, a format without escapes and speakers: their cues begin with `1: `."""
    return srt_pieces(cues(document, NAMED))


def vtt(document: Document) -> Iterator[bytes]:
    """WebVTT subtitles; a speaker's cue begins with a voice tag, `<v 1>`."""
    return vtt_pieces(cues(document))


def tsv(document: Document) -> Iterator[bytes]:
    """Tab-separated start, end (milliseconds) and text, as Whisper's own tool writes them.

    The text begins with the speaker, `1: text`, as readers expect three columns.
    """
    rows = sorted([*document.spoken(), *document.missing()], key=lambda item: item.start_s)
    yield b"start\tend\ttext\n"
    for row in rows:
        start_ms, end_ms = round(row.start_s * 1000), round(row.end_s * 1000)
        yield f"{start_ms}\t{end_ms}\t{_named(row.speaker, row.text)}\n".encode()


def html(document: Document) -> Iterator[bytes]:
    """A page with a player; raises RecordingError as `html_page`."""
    # Most runs write none.
    from sttbatch.outputs.html_page import html_page

    return html_page(document, json)


def json(document: Document) -> Iterator[bytes]:
    """Everything, in the form of Whisper's JSON with additional fields."""
    return json_document(document)


def json_document(
    document: Document,
    facts: Mapping[str, object] = {},
    marks: Callable[[int], Mapping[str, object]] = lambda number: {},
) -> Iterator[bytes]:
    """As `json`, with further `facts`, and `marks` of segments by their number from 0."""
    transcript, segments = document.transcript, document.segments()
    content: dict[str, object] = {
        "source": encodable(document.source),
        "sha256": document.sha256,
        "duration": _rounded(transcript.duration_s),
        "language": transcript.language,
        "model": encodable(document.model),
        "engine": document.engine,
        **_encodable({**_of_task(document), **facts}),
        "text": encodable(" ".join(each.text for each in segments if each.text)),
        "segments": (
            _segment(number, segment, words=document.options.words) | _encodable(marks(number))
            for number, segment in enumerate(segments)
        ),
        "chunks": map(_chunk, transcript.chunks),
        "gaps": map(_gap, transcript.gaps),
    }
    if document.url is not None:
        content["url"] = document.url
    if transcript.dropped:
        content["dropped"] = map(_dropped, transcript.dropped)
    if document.names and any(each.speaker is not None for each in segments):
        content["speakers"] = dict(document.names)
    if document.replacements:
        content["replacements"] = [_replacement(each) for each in document.replacements]
    return json_pieces(content)


def json_pieces(content: Mapping[str, object]) -> Iterator[bytes]:
    """A file of JSON for people too, safe to print; values that are iterators become lists.

    No more than a group of a list's items is made at a time.
    """
    members: dict[str, object] = {}
    begin = b"{"
    for name, value in content.items():
        if not isinstance(value, Iterator):
            members[name] = value
            continue
        first = members[name] = [*islice(value, _GROUP)]
        if len(first) < _GROUP:
            continue
        yield begin + _indented(members)[len("{") : -len("\n  ]\n}")]
        while group := [*islice(value, _GROUP)]:
            yield b"," + _indented(group)[len("[") : -len("\n]")].replace(b"\n", b"\n  ")
        yield b"\n  ]"
        members, begin = {}, b","
    yield begin + _indented(members)[len("{") :] + b"\n" if members else b"\n}\n"


def _indented(value: object) -> bytes:
    import msgspec

    encoded = msgspec.json.format(msgspec.json.encode(value), indent=2)
    # Terminals interpret these, and JSON does not require to escape them.
    return _CONTROLS.sub(lambda match: b"\\u00%02x" % match[0][-1], encoded)


def _of_task(document: Document) -> dict[str, object]:
    if document.task is Task.TRANSCRIBE:
        return {}
    spoken = document.transcript.source_language
    return {"task": str(document.task), **({"source_language": spoken} if spoken else {})}


FORMATS: dict[str, Formatter] = {
    "txt": txt, "srt": srt, "vtt": vtt, "tsv": tsv, "json": json, "md": markdown, "html": html,
    "docx": docx, "rttm": rttm,
}  # fmt: skip


def _named(speaker: str | None, text: str) -> str:
    return text if speaker is None else f"{speaker}: {text}"


def _segment(number: int, segment: Segment, *, words: bool) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": number,
        "start": _rounded(segment.start_s),
        "end": _rounded(segment.end_s),
        "text": encodable(segment.text),
    }
    if segment.speaker is not None:
        entry["speaker"] = segment.speaker
    if words and segment.words:
        entry["words"] = [
            {
                "word": encodable(word.text),
                "start": _rounded(word.start_s),
                "end": _rounded(word.end_s),
            }
            for word in segment.words
        ]
    return entry


def _encodable(facts: Mapping[str, object]) -> dict[str, object]:
    return {
        name: encodable(value) if isinstance(value, str) else value for name, value in facts.items()
    }


def _chunk(chunk: ChunkSummary) -> dict[str, object]:
    return {
        "index": chunk.index,
        "start": _rounded(chunk.start_s),
        "end": _rounded(chunk.end_s),
        "cached": chunk.cached,
        "status": chunk.status,
        **_channel(chunk.channel),
    }


def _gap(gap: Gap) -> dict[str, object]:
    return {
        "start": _rounded(gap.start_s),
        "end": _rounded(gap.end_s),
        "reason": gap.reason.value,
        "detail": encodable(gap.detail),
        **_channel(gap.channel),
    }


def _channel(channel: int) -> dict[str, int]:

    return {} if channel == MIXED else {"channel": channel}


def _dropped(dropped: DroppedSegment) -> dict[str, object]:
    segment = dropped.segment
    return {
        "start": _rounded(segment.start_s),
        "end": _rounded(segment.end_s),
        "text": encodable(segment.text),
        "evidence": [str(each) for each in dropped.evidence],
    }


def _replacement(replacement: Replacement) -> dict[str, object]:
    return {"from": replacement.wrong, "to": replacement.right, "count": replacement.count}


def _rounded(seconds: float) -> float:
    # Adding zero turns -0.0 into 0.0.
    return round(float(seconds), 3) + 0.0
