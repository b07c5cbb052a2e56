"""Transcripts as Office Open XML (docx), for Word and LibreOffice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
_TIME_STYLE, _SPEAKER, _NOTE = "Time", "Strong", "Emphasis"
_LONGEST_PROPERTY = 255
_CODE = re.compile("[a-z]{2,3}")


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
    ids = {name: word.styles[name].style_id for name in (_TIME_STYLE, _SPEAKER, _NOTE)}
    for paragraph in paragraphs(document, are_timed=True):
        _add(word, paragraph, ids)
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
        if _CODE.fullmatch(code):
            kind = "w:eastAsia" if code in _EAST_ASIAN else "w:val"
            language.set(qn(kind), code)
    # Those of the template say when and by whom it was made.
    properties = word.core_properties
    properties._element.clear()  # noqa: SLF001 - there is no other way to have none
    properties.title = _xml(name)[:_LONGEST_PROPERTY]
    if _CODE.fullmatch(code):
        properties.language = code


def _add(word: Word, paragraph: Paragraph, ids: Mapping[str, str]) -> None:
    """Add a paragraph whose runs have styles by their `ids`.

    The library's own way looks at all paragraphs before it for each one, and for each run at all
    styles: half a minute for ten hours of talk.
    """
    from docx.oxml.parser import OxmlElement
    from docx.text.paragraph import Paragraph as WordParagraph

    element = OxmlElement("w:p")
    # Behind all that was added stand the properties of the section.
    word.element.body[-1].addprevious(element)
    added = WordParagraph(element, word)
    runs = [(f"[{timestamp(paragraph.start_s)}] ", _TIME_STYLE)]
    if paragraph.speaker is not None:
        runs.append((f"{_xml(paragraph.speaker)}: ", _SPEAKER))
    runs.append((_xml(paragraph.text), _NOTE if paragraph.is_note else ""))
    for text, style in runs:
        run = added.add_run(text)
        if style:
            run._r.style = ids[style]  # noqa: SLF001


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
