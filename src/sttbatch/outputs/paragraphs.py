"""Paragraphs: a document as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from sttbatch.core.models import Segment
from sttbatch.outputs.document import Document
from sttbatch.outputs.unicode_text import joined

PARAGRAPH_PAUSE_S = 2.0
"""A longer pause begins a new paragraph."""

LONGEST_PARAGRAPH_S = 60.0
"""Where paragraphs show their times, one that is longer ends with its sentence, or after as long
again."""

_SENTENCE_ENDS = tuple(".?!…。！？।؟")  # noqa: RUF001


class Paragraph(Struct, frozen=True):
    """What is said without a long pause, or a note about a missing part.

    `speaker` is whom it begins with; None: the one of the paragraph before it, or nobody knows.
    """

    start_s: float
    text: str
    speaker: str | None = None
    is_note: bool = False


def paragraphs(document: Document, *, are_timed: bool) -> Iterator[Paragraph]:
    """The paragraphs of a document in order; a change of speaker begins one.

    If they `are_timed`, those of somebody who speaks without a pause begin about every minute.
    """
    parts = [(segment.start_s, False, segment) for segment in document.spoken()]
    parts += [(note.start_s, True, note) for note in document.missing()]
    speaker: str | None = None
    current: list[Segment] = []
    named: str | None = None
    for _, is_note, part in sorted(parts, key=lambda item: item[:2]):
        if current and (is_note or part.speaker != speaker or _ends(current, part, are_timed)):
            yield _spoken(current, named)
            current, named = [], None
        if is_note:
            yield Paragraph(part.start_s, part.text, is_note=True)
            continue
        if part.speaker != speaker:
            speaker = named = part.speaker
        current.append(part)
    if current:
        yield _spoken(current, named)


def _ends(current: list[Segment], following: Segment, are_timed: bool) -> bool:
    """Whether a paragraph ends before a segment of the same speaker."""
    if following.start_s - current[-1].end_s > PARAGRAPH_PAUSE_S:
        return True
    length_s = following.start_s - current[0].start_s
    is_sentence = current[-1].text.endswith(_SENTENCE_ENDS)
    return are_timed and length_s >= LONGEST_PARAGRAPH_S * (1 if is_sentence else 2)


def _spoken(segments: list[Segment], speaker: str | None) -> Paragraph:
    return Paragraph(segments[0].start_s, joined([each.text for each in segments]), speaker)
