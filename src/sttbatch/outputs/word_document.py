"""Transcripts as Office Open XML (docx), for Word and LibreOffice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from sttbatch.core.languages import language_code
from sttbatch.core.timestamps import timestamp
from sttbatch.outputs.document import Document
from sttbatch.outputs.paragraphs import Paragraph, paragraphs
from sttbatch.outputs.readable import facts, title

if TYPE_CHECKING:
    from docx.document import Document as Word

# XML cannot have these, and all others that it cannot have are not in a document's text.
_NO_XML = re.compile("[\ufffe\uffff]")
_EAST_ASIAN = frozenset({"zh", "ja", "ko", "yue"})
_A4_MM = (210, 297)
_TIME_STYLE = "Time"


def docx(document: Document) -> Iterator[bytes]:
    """As Markdown: a title, facts, and paragraphs that begin with their times.

    Times have a style of their own, speakers are Strong, notes about missing parts Emphasis.
    """
    from docx.api import Document as NewDocument

    word = NewDocument()
    _prepare(word, title(document), language_code(document.transcript.language).partition("-")[0])
    word.add_paragraph(_xml(title(document)), "Title")
    lines = [f"{label}: {_xml(value)}" for label, value in facts(document)]
    word.add_paragraph(" · ".join(lines), "Subtitle")
    for paragraph in paragraphs(document, are_timed=True):
        _add(word, paragraph)
    saved = BytesIO()
    word.save(saved)
    yield _dateless(saved)


def _prepare(word: Word, name: str, code: str) -> None:
    """Set page, styles, language and properties."""
    from docx.enum.style import WD_STYLE_TYPE
    from docx.oxml.ns import qn
    from docx.shared import Mm, RGBColor

    section = word.sections[0]
    section.page_width, section.page_height = map(Mm, _A4_MM)
    style = word.styles.add_style(_TIME_STYLE, WD_STYLE_TYPE.CHARACTER)
    style.font.color.rgb = RGBColor(0x70, 0x70, 0x70)
    for language in word.styles.element.iter(qn("w:lang")):
        language.attrib.clear()
        # Word refuses a file with anything else.
        if re.fullmatch("[a-z]{2,3}", code):
            kind = "w:eastAsia" if code in _EAST_ASIAN else "w:val"
            language.set(qn(kind), code)
    # Those of the template say when and by whom it was made.
    properties = word.core_properties
    properties._element.clear()  # noqa: SLF001 - there is no other way to have none
    properties.title, properties.language = _xml(name), code


def _add(word: Word, paragraph: Paragraph) -> None:
    added = word.add_paragraph()
    added.add_run(f"[{timestamp(paragraph.start_s)}] ", _TIME_STYLE)
    if paragraph.speaker is not None:
        added.add_run(f"{_xml(paragraph.speaker)}: ", "Strong")
    added.add_run(_xml(paragraph.text), "Emphasis" if paragraph.is_note else None)


def _xml(text: str) -> str:
    return _NO_XML.sub("", text)


def _dateless(saved: BytesIO) -> bytes:
    """The same archive without the time at which it was made."""
    from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

    made = BytesIO()
    with ZipFile(saved) as old, ZipFile(made, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(ZipInfo(name), old.read(name), ZIP_DEFLATED)
    return made.getvalue()
