"""Glossaries: terms that recordings have, and how they are to be translated."""

from __future__ import annotations

from pathlib import Path

from sttbatch.core.errors import UsageError
from sttbatch.core.term_files import term_lines
from sttbatch.outputs.unicode_text import plain


def read_glossary(path: Path) -> dict[str, str]:
    """Read lines `term = translation`.

    Raises UsageError, which names the line, if the file cannot be read or has another line.
    """
    terms: dict[str, str] = {}
    for number, line in term_lines(path, "glossary"):
        term, equals, translation = (part.strip() for part in line.partition("="))
        if not (term and equals and translation):
            raise UsageError(f"{path}, line {number}: write `term = translation`")
        terms[term] = translation
    return terms


def read_terms(path: Path) -> list[str]:
    """The terms of a glossary in its order, each once; `= translation` may follow, as above.

    Raises UsageError as `read_glossary`.
    """
    terms: dict[str, None] = {}
    for number, line in term_lines(path, "glossary"):
        term = line.partition("=")[0].strip()
        if not term:
            raise UsageError(f"{path}, line {number}: write a term, or `term = translation`")
        if plain(term) != term:
            raise UsageError(f"{path}, line {number}: it has a control character")
        terms[term] = None
    return [*terms]
