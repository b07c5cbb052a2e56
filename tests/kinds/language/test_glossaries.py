"""Glossaries as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttbatch.core.errors import UsageError
from sttbatch.kinds.language.glossaries import read_glossary, read_terms


def test_terms_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(
        "\ufeff# ours\r\n\r\nVertrag = contract  # not agreement\r\nC# = C sharp\r\na=b=c\r\n",
        "utf-8",
    )
    assert read_glossary(path) == {"Vertrag": "contract", "C#": "C sharp", "a": "b=c"}


@pytest.mark.parametrize("line", ["term", "= translation", "term =", "term = # nothing"])
def test_the_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "terms.txt"
    path.write_text(f"# ours\n{line}\n", "utf-8")
    with pytest.raises(UsageError, match=r"line 2: write `term = translation`"):
        read_glossary(path)


def test_terms_may_have_joiners_as_persian_words_and_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "terms.txt"
    path.write_text("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\nCloud.ru = Cloud\n", "utf-8")
    assert read_terms(path) == ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "Cloud.ru"]
    path.write_text("term\nab\x1b[31m\n", "utf-8")
    with pytest.raises(UsageError, match="line 2: it has a control character"):
        read_terms(path)
    path.write_text("= translation\n", "utf-8")
    with pytest.raises(UsageError, match="line 1: write a term"):
        read_terms(path)
