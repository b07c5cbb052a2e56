"""Transcripts as Markdown (CommonMark)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sttbatch.core.timestamps import timestamp
from sttbatch.outputs.document import Document
from sttbatch.outputs.paragraphs import Paragraph, paragraphs
from sttbatch.outputs.readable import facts, title
from sttbatch.outputs.unicode_text import plain

# What is special within a line, in CommonMark and in common extensions of it.
_SPECIAL = re.compile(r"[\\`*_\[\]<>#|~&$^]")


def markdown(document: Document) -> Iterator[bytes]:
    """A title, the recording's facts, and paragraphs that begin with their times.

    Notes about missing parts are in italics, speakers are bold.
    """
    lines = [f"{label}: {escaped(value)}" for label, value in facts(document)]
    yield f"# {escaped(title(document))}\n\n{' · '.join(lines)}\n".encode()
    for paragraph in paragraphs(document, are_timed=True):
        yield f"\n[{timestamp(paragraph.start_s)}] {_shown(paragraph)}\n".encode()


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line; not at the beginning of a line."""
    return _SPECIAL.sub(r"\\\g<0>", plain(text))


def _shown(paragraph: Paragraph) -> str:
    text = escaped(paragraph.text)
    if paragraph.is_note:
        return f"*{text}*"
    return text if paragraph.speaker is None else f"**{escaped(paragraph.speaker)}:** {text}"
