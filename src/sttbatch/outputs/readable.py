"""What a document begins with for people: its title and its facts, in their language."""

from __future__ import annotations

from sttbatch.core.languages import language_code
from sttbatch.core.timestamps import timestamp
from sttbatch.outputs.document import Document
from sttbatch.outputs.unicode_text import plain

_LABELS = {
    "en": ("Date of the file", "Length", "Language", "Model"),
    "ru": ("Дата файла", "Длительность", "Язык", "Модель"),
}


def title(document: Document) -> str:
    """The recording's name without its folder."""
    return plain(document.source.rpartition("/")[2])


def facts(document: Document) -> list[tuple[str, str]]:
    """Labels and values; labels are Russian where the text is, and else English."""
    code = language_code(document.transcript.language)
    length = timestamp(document.transcript.duration_s)
    values = (document.date, length, plain(code), plain(document.model))
    labelled = zip(_LABELS.get(code, _LABELS["en"]), values, strict=True)
    return [(label, value) for label, value in labelled if value]
