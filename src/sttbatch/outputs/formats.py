"""The output formats: functions from a document to the bytes of a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sttbatch.core.models import MIXED, ChunkSummary, DroppedSegment, Gap, Segment
from sttbatch.core.options import Task
from sttbatch.outputs.document import Document
from sttbatch.outputs.replacements import Replacement
from sttbatch.outputs.subtitles import NAMED, cues, subtitles
from sttbatch.outputs.unicode_text import encodable, joined

Formatter = Callable[[Document], bytes]

# DEL and C1 in UTF-8.
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")

PARAGRAPH_PAUSE_S = 2.0
"""A longer pause begins a new paragraph of a text."""


def txt(document: Document) -> bytes:
    """Plain text, one paragraph a line, a blank line between paragraphs.

    Missing parts are separate paragraphs: `[not transcribed: 00:05:00 - 00:10:00, why]`. If
    channels were transcribed separately, a change of speaker begins a paragraph: `1: text`, or
    `Anna: text` where the speaker has that name.
    """
    paragraphs: list[list[str]] = []
    speaker: str | None = None
    spoken_until_s: float | None = None
    parts = [(segment.start_s, False, segment) for segment in document.spoken()]
    parts += [(note.start_s, True, note) for note in document.missing()]
    for start_s, is_note, part in sorted(parts, key=lambda item: item[:2]):
        if is_note:
            paragraphs.append([part.text])
            spoken_until_s = None
            continue
        if part.speaker != speaker:
            speaker = part.speaker
            paragraphs.append([_spoken_by(part)])
        elif spoken_until_s is None or start_s - spoken_until_s > PARAGRAPH_PAUSE_S:
            paragraphs.append([part.text])
        else:
            paragraphs[-1].append(part.text)
        spoken_until_s = part.end_s
    return "\n".join(joined(paragraph) + "\n" for paragraph in paragraphs).encode()


def srt(document: Document) -> bytes:
    """SubRip subtitles, a format without escapes and speakers: their cues begin with `1: `."""
    return subtitles(cues(document, NAMED), "srt").encode()


def vtt(document: Document) -> bytes:
    """WebVTT subtitles; a speaker's cue begins with a voice tag, `<v 1>`."""
    return subtitles(cues(document), "vtt", _vtt_escaped).encode()


def tsv(document: Document) -> bytes:
    """Tab-separated start, end (milliseconds) and text, as Whisper's own tool writes them.

    The text begins with the speaker, `1: text`, as readers expect three columns.
    """
    rows = sorted([*document.spoken(), *document.missing()], key=lambda item: item.start_s)
    table = [
        f"{round(row.start_s * 1000)}\t{round(row.end_s * 1000)}\t{_spoken_by(row)}\n"
        for row in rows
    ]
    return "".join(["start\tend\ttext\n", *table]).encode()


def json(document: Document) -> bytes:
    """Everything, in the form of Whisper's JSON with additional fields."""
    return json_document(document)


def json_document(
    document: Document,
    facts: Mapping[str, object] = {},
    marks: Callable[[int], Mapping[str, object]] = lambda number: {},
) -> bytes:
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
        "segments": [
            _segment(number, segment, words=document.options.words) | _encodable(marks(number))
            for number, segment in enumerate(segments)
        ],
        "chunks": [_chunk(chunk) for chunk in transcript.chunks],
        "gaps": [_gap(gap) for gap in transcript.gaps],
    }
    if document.url is not None:
        content["url"] = document.url
    if transcript.dropped:
        content["dropped"] = [_dropped(each) for each in transcript.dropped]
    if document.names and any(each.speaker is not None for each in segments):
        content["speakers"] = dict(document.names)
    if document.replacements:
        content["replacements"] = [_replacement(each) for each in document.replacements]
    return json_bytes(content)


def json_bytes(content: Mapping[str, object]) -> bytes:
    """A file of JSON for people too, safe to print."""
    import msgspec

    encoded = msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
    # Terminals interpret these, and JSON does not require to escape them.
    return _CONTROLS.sub(lambda match: b"\\u00%02x" % match[0][-1], encoded)


def _of_task(document: Document) -> dict[str, object]:
    if document.task is Task.TRANSCRIBE:
        return {}
    spoken = document.transcript.source_language
    return {"task": str(document.task), **({"source_language": spoken} if spoken else {})}


FORMATS: dict[str, Formatter] = {"txt": txt, "srt": srt, "vtt": vtt, "tsv": tsv, "json": json}


def _spoken_by(segment: Segment) -> str:
    return segment.text if segment.speaker is None else f"{segment.speaker}: {segment.text}"


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


def _vtt_escaped(line: str) -> str:
    # `>` is escaped too, since cues must not contain `-->`.
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
